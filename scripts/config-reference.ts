import { referenceConfig } from '#core/config/reference.ts';

process.stdout.write(referenceConfig());
