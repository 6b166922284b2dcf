import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Alarm, alarmFor } from '../../src/ui/alarm';
import { sentences as pairing } from '../../src/crypto/pairing';
import { sentences } from '../../src/session/events';

test('an alarm stays until the right picture is back, however long that takes', () => {
  const a = new Alarm();
  assert.ok(!a.on);
  a.shown(1_000);
  a.rejected(2_000);
  assert.ok(a.on);
  assert.equal(a.count, 1);

  // Only a picture ends an alarm.
  a.shown(3_600_000);
  assert.ok(!a.on);
  assert.equal(a.count, 1, 'the count stays');
});

test('an alarm stays long enough to be read while the picture goes on', () => {
  const a = new Alarm();
  a.rejected(1_000);
  a.shown(1_001);
  a.shown(1_000 + alarmFor - 1);
  assert.ok(a.on);
  a.rejected(5_000);
  a.shown(1_000 + alarmFor);
  assert.ok(a.on, 'something came again');
  a.shown(5_000 + alarmFor);
  assert.ok(!a.on);
  assert.equal(a.count, 2);
});

test('the page says what the protocol says', () => {
  const table = readFileSync('../doc/protocol.md', 'utf8');
  assert.ok(table.includes(`| envelope, record, frame or packet that does not open | ${sentences.rejected} |`));
  assert.ok(table.includes(`| frame older than 5 s | ${sentences.delayed} |`));
  assert.ok(table.includes(`| pairing message that does not verify | ${pairing.invalid} |`));
});
