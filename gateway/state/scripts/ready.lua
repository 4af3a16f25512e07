-- Does all that a publish does, in a room that nobody can join, and takes it away again.
-- KEYS: 1 history list, 2 meta hash, 3 idempotency key. The channel is no key, as in publish.lua.
-- ARGV: 1 publish command, 2 channel, 3 a word
-- Returns the word as it was stored; or the error with which any of it failed.
local history_key, meta_key, idempotency_key = KEYS[1], KEYS[2], KEYS[3]
local publish_command, channel, word = ARGV[1], ARGV[2], ARGV[3]

redis.call('DEL', history_key, meta_key, idempotency_key) -- first: a try that fails below leaves nothing that grows
local time = redis.call('TIME')
redis.call('HSET', meta_key, 'epoch', word, 'begun', time[1])
redis.call('EXPIRE', meta_key, 60)
redis.call('RPUSH', history_key, word)
redis.call('LTRIM', history_key, -1, -1)
redis.call('EXPIRE', history_key, 60)
redis.call('SET', idempotency_key, word, 'EX', 60)
redis.call('GET', idempotency_key)
redis.call(publish_command, channel, word)
local stored = redis.call('LRANGE', history_key, 0, -1)[1]
redis.call('DEL', history_key, meta_key, idempotency_key)
return stored
