-- Changes what is revoked and banned, gives that a new version, and tells the workers: state first, then word.
-- KEYS: 1 hash (field -> numbers, the last of which is its end, s since 1970; 0 is never), 2 its version
-- ARGV: as they are named below; then for each change its field and its value, '' to take it away
-- Returns {how many fields there are now, how many of these were there before}; {-1, how many there are} if there would
-- be too many: nothing has changed then.
local entries_max, channel, word = tonumber(ARGV[1]), ARGV[2], ARGV[3] -- what the channel says before the version
local now_s, first = tonumber(ARGV[4]), 5

-- Whether tokens of a user are revoked up to a later time already: that stands.
local function is_later(field, value)
  local stored = string.sub(field, 1, 5) == 'user:' and redis.call('HGET', KEYS[1], field)
  local before, now = tonumber(string.match(stored or '', '^%S+') or ''), tonumber(string.match(value, '^%S+'))
  return before and now and before > now
end

local function prune(found)
  local ended = {}
  for at = 1, #found, 2 do
    local value = found[at + 1]
    local end_s = tonumber(value) or tonumber(string.match(value, '%S+$') or '') -- most are one number
    if end_s and end_s > 0 and end_s <= now_s then ended[#ended + 1] = found[at] end
  end
  for _, field in ipairs(ended) do redis.call('HDEL', KEYS[1], field) end
end

-- All take some milliseconds to look at. Of many, some are looked at each time: ended ones do not stay many, either.
local count, most = redis.call('HLEN', KEYS[1]), (#ARGV - first + 1) / 2
if count <= 256 then
  prune(redis.call('HGETALL', KEYS[1]))
else
  local looks = count + most > entries_max and 4 or 1 -- of 100 that ended among 10,000, none is found once in 25,000
  for _ = 1, looks do prune(redis.call('HRANDFIELD', KEYS[1], 256, 'WITHVALUES')) end
end
local added, known = 0, 0
for at = first, #ARGV, 2 do
  local is_known = redis.call('HEXISTS', KEYS[1], ARGV[at])
  known = known + is_known
  if ARGV[at + 1] ~= '' then added = added + 1 - is_known end
end
count = redis.call('HLEN', KEYS[1])
if added > 0 and count + added > entries_max then return {-1, count} end

for at = first, #ARGV, 2 do
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[at])
  elseif not is_later(ARGV[at], ARGV[at + 1]) then redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
end
-- Never the same again, even where the store has lost the version and begins anew.
local time, before = redis.call('TIME'), redis.call('GET', KEYS[2])
local version = string.format('%.0f', math.max((tonumber(before) or 0) + 1, time[1] * 1e6 + time[2]))
redis.call('SET', KEYS[2], version)
redis.pcall('PUBLISH', channel, word .. version) -- who may not publish there has changed it all the same
return {redis.call('HLEN', KEYS[1]), known}
