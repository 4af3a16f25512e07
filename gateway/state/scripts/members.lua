-- Names who is in a room. Needs counted.lua.
-- KEYS: 1 users hash, 2 counts hash: who is counted there has no name
-- ARGV: 1 how many names at most
-- Returns {usernames, number of users}.
local most = tonumber(ARGV[1])
local named = redis.call('HLEN', KEYS[1])
local count = named + counted(KEYS[2])
if most == 0 then return {{}, count} end
if named <= most then return {redis.call('HKEYS', KEYS[1]), count} end
local names, page = {}, redis.call('HSCAN', KEYS[1], '0', 'COUNT', most)[2]
for at = 1, math.min(#page, 2 * most), 2 do names[#names + 1] = page[at] end
return {names, count}
