import type { DialectFile } from './dialect-file.ts';

export const standard: DialectFile = { name: 'standard', about: 'nothing but GB/T 28181, for peers that are misjudged by their names', evidence: 'seen', device: {} };
