#!/bin/sh
# Draws the clips that package media embeds, and the streams its tests read. Needs Debian's ffmpeg and fonts-dejavu-core.
# The result depends on the version of libx264, so the clips are committed; run this only to change them.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
tests=../testdata

# BT.601, limited range, named in the stream, so that every decoder arrives at the same RGB.
tags="-color_range tv -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m"
# One thread: the same bytes on every machine. One IDR a second, no B-frames, no SEI of the encoder's own.
x264="keyint=15:min-keyint=15:scenecut=0:bframes=0:repeat-headers=1:threads=1:sliced-threads=0"

# clip NUMBER BACKGROUND PROFILE: 3 s at 15 frames per second, a bar that crosses the picture once in a loop, the frame's number.
clip() {
	ffmpeg -v error -y -f lavfi -i "color=c=$2:s=640x360:r=15:d=3" -f lavfi -i "color=c=white:s=32x24:r=15:d=3" \
		-filter_complex "[0]drawtext=fontfile=$font:text=$1:fontsize=300:fontcolor=white:borderw=6:bordercolor=black:x=(w-tw)/2:y=30,
			drawtext=fontfile=$font:text='%{eif\:n+1\:d\:2}':fontsize=40:fontcolor=white:borderw=3:bordercolor=black:x=w-80:y=h-90[p];
			[p][1]overlay=x='mod(n*640/45,640)':y=326:shortest=1,scale=out_color_matrix=bt601:out_range=tv,format=yuv420p" \
		$tags -c:v libx264 -preset slower -crf 23 -profile:v "$3" -x264-params "$x264" -bsf:v filter_units=remove_types=6 -f h264 "clip$1.h264"
}
clip 0 0xc82828 baseline
clip 1 0x288c3c high
clip 2 0x2846be baseline
clip 3 0xc8a01e high
clip 4 0x8232a0 baseline
clip 5 0x1496a0 high
clip 6 0x5a5a5a baseline
clip 7 0xd25a96 high

# stream NAME SECONDS SIZE OPTIONS…: a test picture.
# gop60.h264, a keyframe a minute at 15 pictures a second, was made in the same way by an older encoder.
stream() {
	name=$1 seconds=$2 size=$3
	shift 3
	ffmpeg -v error -y -f lavfi -i "testsrc2=s=$size:r=10:d=$seconds" -pix_fmt yuv420p -c:v libx264 -threads 1 "$@" -f h264 "$tests/$name.h264"
}
stream bframes 2 160x90 -profile:v main -bf 3 -g 20
stream main 2 162x90 -profile:v main -bf 0 -g 10
stream high-slices 2 160x96 -profile:v high -bf 0 -g 10 -x264-params slices=4:aud=1
stream baseline-slices 2 160x96 -profile:v baseline -g 10 -x264-params slices=3
stream hi10 1 160x90 -pix_fmt yuv420p10le -profile:v high10 -bf 0 -g 10
stream interlaced 2 160x128 -profile:v high -bf 0 -g 10 -flags +ilme+ildct -x264-params tff=1
