-- Sends the bodies of a file in turn: wrk … -- FILE PATH CONTENT-TYPE. A zero byte ends each body.
local requests, at = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local headers = { ["Content-Type"] = args[3] }
  for body in file:read("*a"):gmatch("([^%z]+)%z") do
    requests[#requests + 1] = wrk.format("POST", args[2], headers, body)
  end
  file:close()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration / 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
