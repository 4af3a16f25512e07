-- Hands what has happened in rooms over to the webhooks that are to be told of it.
-- KEYS: 1 lease, 2 marks, then for each webhook what it must still be told
-- ARGV: 1 fence of the holder, 2 how many marks, then the marks, then for each webhook and mark: the webhook's number,
--       from 1, and the mark
-- Returns 1; 0 if the lease is another's by now, and nothing was done.
local fence, count = ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], 'fence') ~= fence then return 0 end
local now_s = redis.call('TIME')[1]
for at = 3 + count, #ARGV, 2 do
  redis.call('ZADD', KEYS[2 + tonumber(ARGV[at])], 'NX', now_s, ARGV[at + 1])
end
redis.call('SREM', KEYS[2], unpack(ARGV, 3, 2 + count))
return 1
