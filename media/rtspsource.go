package media

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media/rtsp"
	"github.com/peephole-cam/peephole/redact"
)

// aliveInterval is how often the sink hears that a camera is alive.
const aliveInterval = 200 * time.Millisecond

// rtspSource reads an RTSP camera. PTS is the camera's as far as it makes sense. Captured is the time of arrival, since
// clocks in cameras are often wrong.
type rtspSource struct {
	input  input
	client *rtsp.Client
	alive  func()
	clock  *clock.Clock
}

func newRTSPSource(in input, o Opener) (Source, error) {
	s := &rtspSource{input: in, alive: func() {}, clock: o.clock}
	client, err := rtsp.New(rtsp.Config{
		URL:     in.url,
		MaxUnit: MaxAccessUnit,
		Clock:   o.clock,
		Dial:    o.dial,
		OnAlive: func() { s.alive() },
		OnUnverified: func(certificate [sha256.Size]byte) {
			if o.Log != nil {
				o.Log.Warn("the camera's certificate cannot be verified: trusting it until this program ends",
					"input", in.String(), "sha256", fmt.Sprintf("%x", certificate))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open input %s: %w", in, ErrInput)
	}

	s.client = client
	return s, nil
}

// RequestKeyframe requests a keyframe from the camera. Not every camera obeys.
func (s *rtspSource) RequestKeyframe() { s.client.RequestKeyframe() }

func (s *rtspSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	var told atomic.Int64
	s.alive = func() { // called for every packet
		if now := time.Now().UnixNano(); now-told.Load() > int64(aliveInterval) {
			told.Store(now)
			sink(AccessUnit{Captured: s.clock.Now()})
		}
	}

	err := s.client.Run(ctx, func(u rtsp.Unit) {
		sink(AccessUnit{Data: u.Data, PTS: u.PTS, Captured: u.Captured, Gap: u.Gap}) // the Feed finds keyframes
	})
	if ctx.Err() != nil {
		return err
	}

	return fmt.Errorf("read %s: %w", s.input, s.advise(err))
}

// advise explains an error, and says how to write a password if that may be the cause.
func (s *rtspSource) advise(err error) error {
	why := explain(err)
	_, rest, _ := strings.Cut(s.input.url, "://")
	_, path, _ := strings.Cut(rest, "/")
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && strings.Contains(path, "@"):
		return explained{why.Error() + ": if the password contains a /, write %2F instead", err}
	case errors.Is(err, rtsp.ErrCredentials) && s.input.doubtful:
		return explained{why.Error() + ": if the password contains a %, write %25 instead", err}
	}
	return why
}

// explained is an error in words for the person who set up the camera.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }

// rtspMeanings says what errors mean to a person.
var rtspMeanings = []struct {
	err  error
	text string
}{
	{rtsp.ErrNoCredentials, "the camera wants a user name and a password: rtsp://USER:PASSWORD@HOST/…"},
	{rtsp.ErrCredentials, "the camera refused the user name or the password"},
	{rtsp.ErrScheme, "the camera asks for the password in a way that is not supported: " +
		"set its RTSP authentication to Digest"},
	{rtsp.ErrNotRTSP, "there is no RTSP server at this address: check the port (most cameras use 554)"},
	{rtsp.ErrDescription, "the camera's description of its streams cannot be read: " +
		"update its firmware, or start with -transcode"},
	{rtsp.ErrNoVideo, "the input has no video"},
	{rtsp.ErrTransport, "the camera supports neither TCP nor UDP: allow RTP unicast in its settings"},
	{rtsp.ErrRedirects, "the camera redirects to an address that does not work"},
	{rtsp.ErrCertificate, "the camera's certificate is not the one from before: " +
		"if you changed it, restart this program; otherwise someone may be intercepting the connection"},
	{rtsp.ErrTooLarge, fmt.Sprintf("the camera's pictures are too large, more than %d MB: "+
		"lower its resolution or bit rate", MaxAccessUnit>>20)},
	{rtsp.ErrEnded, "the camera ended the stream"},
	{rtsp.ErrTimeout, "the camera does not answer"},
	{syscall.ETIMEDOUT, "the camera does not answer"},
	{syscall.ECONNREFUSED, "connection refused"},
	{syscall.EHOSTUNREACH, "no route to host"},
	{syscall.ENETUNREACH, "network is unreachable"},
}

// explain puts an error of the RTSP client into words for a person.
func explain(err error) error {
	for _, m := range rtspMeanings {
		if errors.Is(err, m.err) {
			return explained{m.text, err}
		}
	}

	var status *rtsp.StatusError
	var codec *rtsp.CodecError
	var name *net.DNSError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &status):
		return explained{explainStatus(status), err}
	case errors.As(err, &codec) && codec.Codec == "H265":
		return explained{"the camera sends H.265: set its encoder to H.264, or start with -transcode", err}
	case errors.As(err, &codec):
		return explained{"the input's video is not H.264 but " + codec.Codec +
			": set the encoder to H.264, or start with -transcode", err}
	case errors.As(err, &name):
		return explained{"the camera's host name is not known", err}
	case errors.As(err, &record):
		return explained{"the camera does not speak TLS on this port: try rtsp:// instead of rtsps://", err}
	}

	return explained{redact.Text(err.Error()), err}
}

// explainStatus says what a camera's refusal means, with the camera's own words where they add something.
func explainStatus(s *rtsp.StatusError) string {
	said := fmt.Sprint(s.Code)
	if s.Reason != "" && !strings.EqualFold(s.Reason, http.StatusText(s.Code)) {
		said += " " + redact.Text(s.Reason)
	}
	switch s.Code {
	case 403:
		return "the camera forbids access to this stream (" + said + ")"
	case 404:
		return "the camera has no stream under this path (" + said + ")"
	case 453, 503:
		return "the camera has no room for another viewer (" + said + "): stop another program that reads it"
	}

	return fmt.Sprintf("the camera refused %s (%s)", s.Method, said)
}
