/** The schema of the configuration says everything about itself: help in both languages, what is a secret, what is inside it. */
import t from 'tap';
import { HELP_ZH } from '#core/config/help-zh.ts';
import { referenceConfig } from '#core/config/reference.ts';
import { everyNode, SCHEMA_TREE } from '#core/config/schema-tree.ts';

const nodes = [...everyNode(SCHEMA_TREE)].filter(({ at }) => at !== '' && !at.endsWith('[]'));
/** What a key is called whose value nobody may see. A file of one may be named. */
const SECRET_NAME = /^(password|passphrase|ha1|secret|token|key|[a-z]\w*(Password|Passphrase|Secret|Token|Key))$/;
/** A path with more in it than an address. */
const SECRET_URLS = ['outlets.pushes[].url', 'api.webhooks[].url'];

t.test('every key has its help in English and in Chinese', async t => {
  t.same(nodes.filter(({ help }) => help === '').map(({ at }) => at), [], 'describe');
  t.same(nodes.filter(({ at }) => !Object.hasOwn(HELP_ZH, at)).map(({ at, help }) => `${at}: ${help}`), [], 'to be added to daemons/core/config/help-zh/*.ts');
  t.same(Object.keys(HELP_ZH).filter(at => !nodes.some(node => node.at === at)), [], 'and no help for what is not there');
  t.same(Object.entries(HELP_ZH).filter(([, text]) => !/\p{Script=Han}|^QCIF|^source/u.test(text)), []);
});

t.test('every secret is marked as one: .meta({ secret: ... })', async t => {
  const named = nodes.filter(({ kind, at }) => kind === 'leaf' && SECRET_NAME.test(at.split('.').at(-1)!));
  t.ok(named.length >= 8);
  t.same(named.filter(({ secret }) => secret === null).map(({ at }) => at), []);
  t.same(nodes.filter(({ secret, at }) => secret !== null && !SECRET_URLS.includes(at) && !named.some(node => node.at === at)).map(({ at }) => at), []);
});

t.test('the reference in Chinese has the same keys and values', async t => {
  const bare = (text: string): string[] => text.split('\n').map(line => /^(?: *#)? *[-\w]+.*?(?= +# )/.exec(line)?.[0] ?? '').filter(line => line !== '');
  t.same(bare(referenceConfig('zh')), bare(referenceConfig()));
  t.match(referenceConfig('zh'), /上级平台/);
});
