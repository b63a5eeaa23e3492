-- GCRA over several buckets, all or nothing: a refused request is charged to none of them.
-- KEYS: one per bucket, all in one hash slot; then, if wanted, more whose numbers are returned as they are.
-- ARGV: per bucket emission interval and tolerance in microseconds.
-- Returns {allowed (0 or 1), retry_after_us, then per bucket: remaining, reset_us}, then each number or -1.
-- The theoretical arrival time is kept in microseconds; Lua's tostring keeps 14 digits, hence '%.0f'.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local arrivals, retry_after, buckets = {}, 0, #ARGV / 2
for index = 1, buckets do
  local key = KEYS[index]
  local interval, tolerance = tonumber(ARGV[2 * index - 1]), tonumber(ARGV[2 * index])
  local arrival = tonumber(redis.call('GET', key) or now)
  if arrival < now then arrival = now end
  arrivals[index] = arrival
  local wait = arrival + interval - tolerance - now
  if wait > retry_after then retry_after = wait end
end
local allowed = retry_after <= 0
local answer = {allowed and 1 or 0, math.ceil(retry_after)}
for index = 1, buckets do
  local key = KEYS[index]
  local interval, tolerance = tonumber(ARGV[2 * index - 1]), tonumber(ARGV[2 * index])
  local arrival = arrivals[index]
  if allowed then
    arrival = arrival + interval
    redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
  end
  local remaining = math.floor((tolerance - (arrival - now)) / interval)
  if remaining < 0 then remaining = 0 end
  answer[#answer + 1] = remaining
  answer[#answer + 1] = math.ceil(arrival - now)
end
for index = buckets + 1, #KEYS do
  answer[#answer + 1] = tonumber(redis.call('GET', KEYS[index]) or '-1')
end
return answer
