-- A webhook was told of a room's messages up to a position, or that it misses some.
-- KEYS: 1 how far the webhook was told
-- ARGV: 1 fence of the writer, 2 epoch, 3 seq, 4 where what it misses begins, '' if it misses nothing; 5 the changes
--       that it was told of the messages before; 6 how long that is kept (s)
-- Returns 1; 0 if another has written under a higher fence, and nothing was done.
local fence, epoch, seq, gap, changes, keep_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local told = redis.call('HMGET', KEYS[1], 'at', 'fence', 'gap')
if (tonumber(told[2] or '') or 0) > tonumber(fence) then return 0 end
local told_epoch, told_seq = string.match(told[1] or '', '^(.*):(%d+)$')
if told_epoch ~= epoch or tonumber(told_seq) <= tonumber(seq) then
  redis.call('HSET', KEYS[1], 'at', epoch .. ':' .. seq, 'fence', fence)
  if changes == '' then redis.call('HDEL', KEYS[1], 'changes') else redis.call('HSET', KEYS[1], 'changes', changes) end
  if gap == '' then
    redis.call('HDEL', KEYS[1], 'gap')
  elseif not told[3] then
    redis.call('HSET', KEYS[1], 'gap', gap)
  end
end
redis.call('EXPIRE', KEYS[1], keep_s)
return 1
