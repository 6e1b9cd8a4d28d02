import fc from 'fast-check';
import t from 'tap';
import { ShareRule } from '#core/gb/share-rule.ts';

t.test('a share covers what begins with one of its prefixes, of the device or of the channel', t => {
  const id = fc.stringMatching(/^[12]{0,6}$/);
  const prefix = fc.oneof({ weight: 9, arbitrary: fc.stringMatching(/^[12]{1,6}$/) }, { weight: 1, arbitrary: fc.constant('*') });
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 5 }), id, id, (prefixes, deviceId, channelId) => {
      const plain = prefixes.some(each => each === '*' || deviceId.startsWith(each) || channelId.startsWith(each));
      return new ShareRule(prefixes).covers({ deviceId, channelId }) === plain;
    }),
  );
  t.notOk(new ShareRule([]).covers({ deviceId: '1', channelId: '2' }), 'an empty list shares nothing');
  t.end();
});
