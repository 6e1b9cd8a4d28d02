/** Configuration of the recorder of signalling. */
import { z } from 'zod';

export const traceSchema = z.strictObject({
  sipKiB: z.int().min(0).max(1_048_576).default(16_384).describe('memory for the last SIP messages in and out, for vlink trace; 0: off'),
});
