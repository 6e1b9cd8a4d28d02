/** The file of who is shut out: what is read of it is one address or one site a row, and is written and read back the same. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { formatBanFile, parseBanFile, shutOutOf } from '#core/host/ban-file.ts';
import { banText } from '#core/host/firewall.ts';
import { siteOf } from '#core/host/site.ts';

const ROW = '{"site":"192.0.2.1","reason":"scanner","count":2,"times":1,"first":"OPTIONS sip:100@a SIP/2.0","last":"x","untilWallMs":1800000000000,"firstWallMs":1,"lastWallMs":2}';
const SEEDS = [`${ROW}\n${ROW.replace('192.0.2.1', '2001:db8::/64')}\n`, ROW, '{"site":"0.0.0.0/0"}\n', '[]\nnull\n7\n'];

export default {
  name: 'ban-file',
  seeds: SEEDS.map(fromByteString),
  run(input: Uint8Array): void {
    const rows = parseBanFile(toByteString(input));
    if (JSON.stringify(parseBanFile(formatBanFile(rows))) !== JSON.stringify(rows)) throw new Error('rows changed');
    for (const { site } of rows) if (siteOf(site.replace('/64', '')) !== site) throw new Error(`too wide: ${site}`);
    if (!/^(flush set inet viewlink banned[46]\n|add element inet viewlink banned[46] \{ ([0-9a-f.:]+(\/64)? timeout \d+s(, )?)+ \}\n)*$/.test(banText(shutOutOf(rows, [], 0)))) throw new Error('text for nft says more');
  },
};
