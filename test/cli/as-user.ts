/** vlink as another user: `as-user.ts UID GID WORD...`; what it is made of is read before root is given up. */
import { main } from '../../cli/vlink.ts';

const [uid, gid, ...argv] = process.argv.slice(2) as [string, string, ...string[]];
process.setgroups!([]);
process.setgid!(Number(gid));
process.setuid!(Number(uid));
process.exitCode = await main(argv);
