#!/usr/bin/python3
"""An RTSP server for tests, on 127.0.0.1: GStreamer's. It prints its port when it serves, and ends with its standard input.

usage: rtsp_server.py [--port=N] [--digest USER PASSWORD]
Debian: gstreamer1.0-rtsp gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad,ugly}
"""
import sys
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

Gst.init(None)
PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 ! "
# config-interval=0: the parameter sets are in the SDP; avc keeps them out of the stream, as some cameras do.
PAY = "rtph264pay name=pay0 pt=96 config-interval=0"
STREAMS = {
    "/baseline": PICTURE + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! "
    "video/x-h264,profile=constrained-baseline ! " + PAY,
    "/high": PICTURE + "x264enc speed-preset=veryfast key-int-max=15 bframes=0 rc-lookahead=0 sliced-threads=true ! "
    "video/x-h264,profile=high,stream-format=avc ! " + PAY,
    "/bframes": PICTURE + "x264enc speed-preset=veryfast key-int-max=30 bframes=3 b-adapt=false ! video/x-h264,profile=main ! " + PAY,
    "/mjpeg": PICTURE + "jpegenc ! rtpjpegpay name=pay0 pt=26",
}

port = next((a[7:] for a in sys.argv if a.startswith("--port=")), "0")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
digest = "--digest" in sys.argv
if digest:
    user, password = sys.argv[sys.argv.index("--digest") + 1 :][:2]
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
for path, launch in STREAMS.items():
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch("( " + launch + " )")
    factory.set_shared(True)
    if digest:
        role = Gst.Structure.from_string("user,media.factory.access=true,media.factory.construct=true")[0]
        factory.add_role_from_structure(role)
    server.get_mount_points().add_factory(path, factory)
if server.attach(None) == 0:
    sys.exit("cannot listen on port " + port)
loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
print(server.get_bound_port(), flush=True)
loop.run()
