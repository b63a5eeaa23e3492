-- Lets an attempt pass and counts it as a failure until its success is told, or says how long to wait.
-- KEYS: the account, all accounts; both in one hash slot.
-- ARGV: free failures, longest wait, most failures, wait after these, lifetime (seconds each), attempts a minute.
-- Returns milliseconds to wait; 0 lets it pass.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', KEYS[1], 'failures', 'until')
local failures, held = tonumber(known[1] or '0'), tonumber(known[2] or '0')
if now < held then return held - now end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[6]) then
  return math.max(1, redis.call('PTTL', KEYS[2]))
end
failures = failures + 1
local wait = 0
if failures >= tonumber(ARGV[3]) then
  wait = tonumber(ARGV[4])
elseif failures >= tonumber(ARGV[1]) then
  wait = math.min(2 ^ math.min(failures - tonumber(ARGV[1]), 20), tonumber(ARGV[2]))
end
redis.call('HSET', KEYS[1], 'failures', failures, 'until', string.format('%.0f', now + wait * 1000))
redis.call('EXPIRE', KEYS[1], math.max(tonumber(ARGV[5]), wait))
if redis.call('INCR', KEYS[2]) == 1 then redis.call('EXPIRE', KEYS[2], 60) end
return 0
