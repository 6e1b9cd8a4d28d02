/** scripts/config-reference [--zh]: the commented reference, in English or in Chinese. */
import { parseArgs } from 'node:util';
import { referenceConfig } from '#core/config/reference.ts';

const { values } = parseArgs({ options: { zh: { type: 'boolean', default: false } } });
process.stdout.write(referenceConfig(values.zh ? 'zh' : 'en'));
