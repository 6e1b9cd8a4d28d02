/** What one file of this folder says: how the products of one maker differ. Adding a dialect is adding a file and its line in index.ts. */
import type { DeviceSwitches } from './switches.ts';

export interface DialectFile {
  /** As configuration names it. */
  readonly name: string;
  /** For people. */
  readonly about: string;
  /** Known from products in the field, from reports of others, or from a text that nobody could try. */
  readonly evidence: 'seen' | 'reported' | 'unverified';
  /** Who is recognized by what it says of itself; neither: only by configuration. */
  readonly userAgent?: RegExp;
  readonly manufacturer?: RegExp;
  /** Taken when it is configured, or, being harmless to those who would not need it, when it is recognized. */
  readonly device: DeviceSwitches;
  /** Taken only when it is configured by name. */
  readonly deviceByName?: DeviceSwitches;
}
