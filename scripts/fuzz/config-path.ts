/** Paths of the configuration and what is set at them: a path that can be read is written and read back the same; a step gives data or a sentence. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { difference } from '#core/config/difference.ts';
import { applyStep } from '#core/config/patch.ts';
import { formatPath, parsePath, readPath } from '#core/config/path.ts';

const SEEDS = ['upstreams[city].port', 'upstreams city port', 'devices.known[34020000001110000001].password', 'sip.listen[0]', 'channels["a]b"].name', 'a..b', '["\\u0041"]', '__proto__.x', 'upstreams[#].view.rules[2].allow[0].days'];
const VALUE = { upstreams: [{ name: 'city', port: 5060 }], sip: { listen: [] }, devices: { known: [{ id: '1' }] } };

export default {
  name: 'config-path',
  seeds: SEEDS.map(fromByteString),
  run(input: Uint8Array): void {
    const text = toByteString(input);
    const steps = parsePath(text);
    if (!steps.ok) return;
    const again = parsePath(formatPath(steps.value));
    if (!again.ok || JSON.stringify(again.value) !== JSON.stringify(steps.value)) throw new Error(`path changed: ${JSON.stringify(steps.value)}`);
    readPath(text);
    for (const step of [{ op: 'delete', path: text } as const, ...['x', 5, true, {}, []].map(value => ({ op: 'set', path: text, value }) as const)]) {
      const result = applyStep(VALUE, step);
      if (result.ok) difference(VALUE, result.value);
    }
    if (VALUE.upstreams.length !== 1 || 'x' in {}) throw new Error('the data was changed in place');
  },
};
