-- Names the users of a room who have shown a token.
-- KEYS: 1 verified hash
-- ARGV: 1 how many at most, 2 with what the fields begin that say so
-- Returns field, value, field, value ...: see verified.lua.
local most, mark = tonumber(ARGV[1]), ARGV[2]
local found, cursor, left = {}, '0', most
-- A page more than is asked for: each user has a few other fields. One page of a large room is enough, as with members.
local pages = 4
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', most)
  cursor = page[1]
  for at = 1, #page[2], 2 do
    if left > 0 and string.sub(page[2][at], 1, #mark) == mark then
      found[#found + 1], found[#found + 2], left = page[2][at], page[2][at + 1], left - 1
    end
  end
  pages = pages - 1
until cursor == '0' or left == 0 or pages == 0
return found
