-- Sends the bodies of a file, a line each, in turn; prints one line of JSON at the end.
-- wrk ... -s wrk.lua URL -- PATH BODIES

local bodies, number = {}, 0

function init(arguments)
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   for line in io.lines(arguments[2]) do
      bodies[#bodies + 1] = wrk.format(nil, arguments[1], nil, line)
   end
end

function request()
   number = number % #bodies + 1
   return bodies[number]
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}\n',
      summary.requests, summary.duration / 1e6, failed,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
