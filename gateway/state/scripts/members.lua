-- Names who is in a room.
-- KEYS: 1 users hash
-- ARGV: 1 how many names at most
-- Returns {usernames, number of users}.
local most = tonumber(ARGV[1])
local count = redis.call('HLEN', KEYS[1])
if most == 0 then return {{}, count} end
if count <= most then return {redis.call('HKEYS', KEYS[1]), count} end
local names, page = {}, redis.call('HSCAN', KEYS[1], '0', 'COUNT', most)[2]
for at = 1, math.min(#page, 2 * most), 2 do names[#names + 1] = page[at] end
return {names, count}
