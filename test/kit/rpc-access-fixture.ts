/** A person at a socket: `rpc-access-fixture.ts SOCKET UID GID METHOD[=JSON]...` prints one line of JSON a call: ok, or the failure. */
import { GatewayError } from '#core/result.ts';
import { connectRpc } from '#kit/rpc.ts';

const [socket, uid, gid, ...calls] = process.argv.slice(2) as [string, string, string, ...string[]];
process.setgroups!([]);
process.setgid!(Number(gid));
process.setuid!(Number(uid));

const words = (error: unknown): unknown => (error instanceof GatewayError ? { code: error.code, ...error.detail } : String(error));
for (const call of calls) {
  const [method = '', params = '{}'] = call.split(/=(.*)/s);
  const outcome = await (async () => {
    await using client = await connectRpc<Record<string, (params: unknown) => unknown>>(socket);
    return { ok: await client.call(method, JSON.parse(params), { timeoutMs: 5000 }) };
  })().catch(words);
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
