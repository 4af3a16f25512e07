-- Says that a worker lives. Others look whether this changes (state/liveness.py); the time is for people who look.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970); 2 version of what is revoked (left out
--       on a Cluster, where it may be in another slot)
-- ARGV: 1 worker id
-- Returns {1 if the worker was not in the set, else 0; the version, empty where there is none, nil if it is unreadable}.
local worker = ARGV[1]
local time = redis.call('TIME')
local is_new = redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, worker)
local version = KEYS[2] and (redis.pcall('GET', KEYS[2]) or '')
if type(version) == 'table' then version = false end -- a key of another's hand must not stop the heartbeats
return {is_new, version}
