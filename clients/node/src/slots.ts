// The slot of a key, and the channel that a queue's announcements come on.

/** CRC16 as Redis Cluster takes it (XMODEM). */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** What of a key decides its slot: the first {…} that is not empty, else all of it. */
function hashed(key: string): string {
  const open = key.indexOf('{');
  if (open < 0) return key;
  const close = key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

export function slotOf(key: string): number {
  return crc16(Buffer.from(hashed(key))) % 16384;
}

/** The channel on which a moderator of a queue hears of their items; see JOIN in the command reference. */
export function channelOf(key: string, moderator: string): string {
  if (hashed(key) !== key) return `modq:${key}:${moderator}`;
  if (key !== '' && !key.includes('}')) return `modq:{${key}}:${moderator}`;
  const slot = slotOf(key);
  let n = 0;
  while (slotOf(String(n)) !== slot) n++;
  return `modq:{${n}}:${key}:${moderator}`;
}
