/** Makes what the machines of test/units stand on, so that no test waits for it: minutes on a fresh clone. */
import { debianRoot, packageOfTree } from './nspawn.ts';

await Promise.all([debianRoot(), packageOfTree()]);
