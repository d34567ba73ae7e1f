-- Takes a token from the bucket KEYS[1], or says how long it would have to wait for one.
--
-- The bucket is the instant at which it will be full again, in sixteenths of a microsecond since
-- 2025: small enough for the numbers of Lua, fine enough for 10,000 calls a second. All instants
-- are this server's, so the clocks of those who ask don't matter.
local interval, slack = tonumber(ARGV[1]), tonumber(ARGV[2])
local patience, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = ((time[1] - 1735689600) * 1000000 + time[2]) * 16
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now) or now, now)

local function keep()
    -- A full bucket is no different from none, so its key goes by itself.
    local left = string.format('%.0f', math.ceil((full - now) / 16000))
    redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', left)
end

-- Further ahead than calls under this limit can push it, it was pushed under another limit, or
-- before the server's clock was set back.
local furthest = now + slack + interval + longest
if full > furthest then
    full = furthest
    keep()
end
local wait = math.max(full - slack - now, 0)
if wait > patience then
    return { 0, wait }
end
full = full + interval
keep()
return { 1, wait }
