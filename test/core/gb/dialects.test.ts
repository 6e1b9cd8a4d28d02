/** Whose habits a peer has, and what follows from that. */
import t from 'tap';
import { DIALECT_FILES, DIALECT_NAMES, chooseDialect, deviceSwitchesOf } from '#core/gb/dialects/index.ts';
import { DEVICE_DEFAULTS, deviceSwitches } from '#core/gb/dialects/switches.ts';

const nobody = { userAgent: undefined, manufacturer: undefined };

await t.test('every file is well formed: a name of its own, switches that exist', async t => {
  t.equal(new Set(DIALECT_FILES.map(({ name }) => name)).size, DIALECT_FILES.length);
  t.same([...DIALECT_NAMES], ['auto', ...DIALECT_FILES.map(({ name }) => name)]);
  for (const file of DIALECT_FILES) {
    for (const part of [file.device, file.deviceByName ?? {}]) t.ok(deviceSwitches.safeParse(part).success, file.name);
    t.ok(file.about.length > 10, file.name);
    for (const pattern of [file.userAgent, file.manufacturer]) t.notOk(pattern?.global, `${file.name}: a global pattern remembers where it was`);
  }
});

await t.test('recognized by User-Agent, else by manufacturer, else nobody', async t => {
  const by = (claims: { readonly userAgent?: string; readonly manufacturer?: string }): string => chooseDialect('auto', { ...nobody, ...claims }).file.name;
  t.equal(by({}), 'standard');
  t.equal(by({ userAgent: 'Hikvision' }), 'hikvision');
  t.equal(by({ userAgent: 'IP Camera', manufacturer: '海康威视' }), 'hikvision');
  t.equal(by({ manufacturer: 'Dahua Technology' }), 'dahua');
  t.equal(by({ userAgent: 'WVP PRO', manufacturer: 'Hikvision' }), 'wvp', 'what speaks goes before what it says it is');
  t.equal(by({ userAgent: `${'x'.repeat(300)}hikvision` }), 'standard', 'nobody reads that far');
  t.match(chooseDialect('auto', { ...nobody, userAgent: 'Dahua' }).by, /User-Agent Dahua/);
});

await t.test('configuration before dialect before defaults; what could harm only by name', async t => {
  const auto = chooseDialect('auto', { ...nobody, manufacturer: 'Dahua' });
  const named = chooseDialect('dahua', nobody);
  t.equal(deviceSwitchesOf({}, auto).talkMode, DEVICE_DEFAULTS.talkMode);
  t.equal(deviceSwitchesOf({}, named).talkMode, 'talk');
  t.equal(deviceSwitchesOf({ talkMode: 'broadcast' }, named).talkMode, 'broadcast');
  t.equal(deviceSwitchesOf({ talkMode: undefined }, named).talkMode, 'talk', 'left out is not said');
  t.equal(deviceSwitchesOf({}, chooseDialect('hikvision-recorder', nobody)).steering, false);
  t.equal(deviceSwitchesOf({}, auto).ssrc, undefined, 'what nobody sets stays with the configuration of all');
});
