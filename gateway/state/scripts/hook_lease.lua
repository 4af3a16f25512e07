-- Takes, keeps or gives back the lease under which one worker posts to webhooks what happens in a sixteenth of the rooms.
--
-- Each holder has a number, the fence, higher than those before it, even where the store has lost what they were. It is
-- stored beside all that a holder writes: one that stood still, and whose lease another has by now, writes nothing more.
-- KEYS: 1 the lease: hash of holder, fence, ends (ms since 1970); then the keys that are of use only to its holders
-- ARGV: 1 worker id, 2 for how long (ms; 0 gives it back), 3 a number that the fence must be above, 4 how long the keys
--       are kept (s)
-- Returns the fence; 0 if another worker holds the lease, or none after it was given back.
local worker, for_ms, above, keep_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'holder', 'fence', 'ends')
local holder, fence, ends_ms = held[1], tonumber(held[2] or '') or 0, tonumber(held[3] or '') or 0
local time = redis.call('TIME')
local now_us = time[1] * 1e6 + time[2]
if holder and holder ~= worker and ends_ms > now_us / 1000 then return 0 end
if for_ms == 0 then
  if holder == worker then redis.call('HDEL', KEYS[1], 'holder', 'ends') end
  return 0
end
if holder ~= worker or fence <= above then fence = math.max(fence + 1, above + 1, now_us) end
redis.call('HSET', KEYS[1], 'holder', worker, 'fence', string.format('%.0f', fence),
  'ends', string.format('%.0f', now_us / 1000 + for_ms))
for at = 1, #KEYS do redis.call('EXPIRE', KEYS[at], keep_s) end
return fence
