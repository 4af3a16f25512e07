-- A webhook has been told: takes that away from what it must still be told.
-- KEYS: 1 lease, 2 what the webhook must still be told
-- ARGV: 1 fence of the holder, then what was told
-- Returns 1; 0 if the lease is another's by now, and nothing was done.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('ZREM', KEYS[2], unpack(ARGV, 2))
return 1
