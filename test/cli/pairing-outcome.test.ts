import t from 'tap';
import { pairingOutcome, type PairingSight } from '../../cli/do/pairing-outcome.ts';

const SIGHT: PairingSight = { isThere: false, wasThere: false, applying: false, last: null };
const RETURNED = { done: false, last: 'it returned, see vlink config history' };

const cases: readonly (readonly [string, Partial<PairingSight>, ReturnType<typeof pairingOutcome>])[] = [
  ['before the commit', {}, null],
  ['while it runs', { applying: true }, null],
  ['clusterd has it, other daemons are still told', { isThere: true, wasThere: true, applying: true }, null],
  ['configd does not answer', { isThere: true, wasThere: true, applying: null }, null],
  ['all have it', { isThere: true, wasThere: true }, { done: true, last: null }],
  ['a daemon that was told later ended, and all returned', { wasThere: true }, RETURNED],
  ['it returns just now', { wasThere: true, applying: true }, null],
  ['refused here', { last: 'sipd: refused' }, { done: false, last: 'sipd: refused' }],
  ['an earlier try was refused, this one is there', { isThere: true, last: 'sipd: refused' }, { done: true, last: 'sipd: refused' }],
];
for (const [name, sight, expected] of cases) t.same(pairingOutcome({ ...SIGHT, ...sight }), expected, name);
