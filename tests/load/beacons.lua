-- wrk sends a different beacon each time; at the end it prints one line of JSON.
local count = 0
local seed = string.format("%08x", os.time())
local before = "/api_v3/index.php?service=analytics&action=trackEvent&apiVersion=3.3.0&format=1&playTimeSum=11"
  .. "&bufferTime=0.103&bufferTimeSum=0.103&actualBitrate=1128&averageBitrate=1104&soundMode=1&tabMode=2&playbackSpeed=1"
  .. "&networkConnectionType=4g&eventType=99&partnerId=4242&entryId=1_bench&sessionId="
local after = "&eventIndex=5&referrer=https%3A%2F%2Fvideo.example%2Fwatch%2Fplayer.html%3Ffrom%3Dfront%2520page%23top"
  .. "&deliveryType=hls&playbackType=vod&clientVer=3.17.95&clientTag=html5%3Av3.17.95&position=11.0"
  .. "&sessionStartTime=1795420800&ks=cmN8NDI0Mjs0MjQyO3dpZGdldDoxLHZpZXc6Kg%3D%3D&uiConfId=23521211"
local headers = " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
  .. "(KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\nReferer: https://video.example/\r\nAccept: */*\r\n\r\n"

function request()
  count = count + 1
  local session = string.format("%s-0000-4000-8000-%012x%%3A%08x-0000-4000-8000-%012x", seed, count, count, count)
  return "GET " .. before .. session .. after .. headers
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
