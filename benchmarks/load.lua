-- One window of load: each request drawn from a file of whole requests, which a NUL byte ends. Arguments: file, seed.
local requests, count = {}, 0

function init(arguments)
   math.randomseed(tonumber(arguments[2]))
   local file = assert(io.open(arguments[1], "rb"))
   for one in file:read("*a"):gmatch("[^%z]+") do
      count = count + 1
      requests[count] = one
   end
   file:close()
end

function request()
   return requests[math.random(count)]
end

function done(summary, latency)
   local failed = summary.errors
   io.write(string.format('{"answered":%d,"micros":%d,"failed":%d,"p50":%d,"p99":%d}\n',
      summary.requests, summary.duration, failed.connect + failed.read + failed.write + failed.timeout + failed.status,
      latency:percentile(50), latency:percentile(99)))
end
