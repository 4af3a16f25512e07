-- How many sessions there are in a room of which workers keep only their numbers (`members = "count"`). Put in front of
-- the scripts that want to know.
-- The hash has, for each worker, "<sessions> <when that was written, s since 1970>". A worker writes its number again
-- within a minute: one that was not written for three is of a worker that is gone, whoever should have cleaned up.
local COUNTS_S = 180

-- Returns the number, without that of the worker `except`; and the workers whose numbers count no longer.
local function counted(counts_key, except)
  local found = redis.call('HGETALL', counts_key)
  if #found == 0 then return 0, found end
  local now_s, total, gone = tonumber(redis.call('TIME')[1]), 0, {}
  for at = 1, #found, 2 do
    local number, written_s = string.match(found[at + 1], '^(%d+) (%d+)$')
    if not number or tonumber(written_s) < now_s - COUNTS_S then gone[#gone + 1] = found[at]
    elseif found[at] ~= except then total = total + tonumber(number) end
  end
  return total, gone
end

