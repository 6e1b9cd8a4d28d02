/** What the HTTP API decides over text from outside: where webhooks may go, where a listener left off, what may be a password. */
import { EventRing } from '#core/api/event-ring.ts';
import { passwordProblem } from '#core/api/password-rules.ts';
import { isForbiddenTarget, webhookHostProblem } from '#core/api/webhook-target.ts';
import { toByteString } from '#core/bytes.ts';
import { isLoopback } from '#core/ip.ts';
import { isDeeperThan } from '#core/json-depth.ts';

const seed = (text: string): Uint8Array => Uint8Array.from(text, char => char.charCodeAt(0));
const ring = new EventRing<number>('b00t', 8);
for (let i = 0; i < 20; i++) ring.put(i);

export default {
  name: 'api-inputs',
  seeds: ['https://hooks.example.com:8443/viewlink?x=1', 'http://[::ffff:127.0.0.1]/', 'http://169.254.169.254/latest', 'b00t.17', 'correct horse battery', '{"a":[{"b":[[1]]}]}', 'http://2130706433/'].map(seed),
  run(input: Uint8Array): void {
    const text = toByteString(input);
    const host = /^https?:\/\/(?:\[([^\]]*)\]|([^/:?]*))/.exec(text);
    const address = host?.[1] ?? host?.[2] ?? '';
    if (webhookHostProblem(text, false) === null && isLoopback(address)) throw new Error(`posts to this machine: ${text}`);
    if (!isForbiddenTarget(text, false) && isLoopback(text)) throw new Error(`calls this machine: ${text}`);
    if (ring.since(text).events.length > 8) throw new Error('more than is kept');
    if (passwordProblem(text, 'chen') === null && text.length < 12) throw new Error(`a short password: ${text}`);
    try {
      isDeeperThan(JSON.parse(text), 4);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  },
};
