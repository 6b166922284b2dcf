package rtsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	udpPatience  = 3 * time.Second // for the first packet over UDP
	reportEvery  = 5 * time.Second
	tick         = 500 * time.Millisecond
	probeAfter   = 3 * time.Second // without a packet
	goodbyeGrace = time.Second     // for packets behind a goodbye
	teardownWait = 300 * time.Millisecond

	minKeepalive = 500 * time.Millisecond
	maxKeepalive = 30 * time.Second
)

// playback is a session that plays. One goroutine reads the connection, and with UDP two more read the sockets. The
// goroutine that called play does everything else.
type playback struct {
	*session
	answers chan message  // to requests sent since PLAY
	gone    chan struct{} // closed when nobody reads the connection any more
	ended   chan error    // why reading has ended; the first error counts

	play     request
	sent     int       // the CSeq of PLAY
	played   bool      // PLAY has been answered
	probed   time.Time // when a silent camera was last probed
	rejected int       // challenges in a row
	getless  bool      // the server does not know GET_PARAMETER
}

// play sends PLAY and passes on what the camera sends, until ctx or the stream ends.
func (s *session) play(ctx context.Context) error {
	p := &playback{
		session: s,
		answers: make(chan message, 8),
		gone:    make(chan struct{}),
		ended:   make(chan error, 3),
		play:    request{method: "PLAY", url: s.control, fields: []string{"Range: npt=0.000-"}},
	}

	s.began, s.playing = time.Now(), true
	if err := p.sendPlay(); err != nil {
		return err
	}

	var parts sync.WaitGroup
	parts.Go(func() { p.ended <- p.readConn() })
	if s.way == overUDP {
		parts.Go(func() { p.ended <- p.readRTP() })
		parts.Go(func() { p.ended <- p.readRTCP() })
	}

	err := p.tend(ctx)
	p.hangUp()
	parts.Wait()
	return err
}

func (p *playback) sendPlay() (err error) {
	p.sent, _, err = p.conn.send(p.play)
	return err
}

// tend keeps the session alive until ctx or the stream ends, and returns why.
func (p *playback) tend(ctx context.Context) error {
	ticks, reports := time.NewTicker(tick), time.NewTicker(reportEvery)
	keepalives := time.NewTicker(min(max(p.timeout/2, minKeepalive), maxKeepalive))
	defer ticks.Stop()
	defer reports.Stop()
	defer keepalives.Stop()

	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err = <-p.ended:
			return err
		case m := <-p.answers:
			err = p.handleAnswer(m)
		case <-p.client.keyframe:
			err = p.sendReport(true)
		case <-reports.C:
			err = p.sendReport(false)
		case <-keepalives.C:
			err = p.keepAlive()
		case <-ticks.C:
			err = p.check(time.Now())
		}

		if err != nil {
			return err
		}
	}
}

// handleAnswer handles an answer to PLAY or to a keepalive.
func (p *playback) handleAnswer(m message) error {
	toPlay := !p.played && p.conn.answers(m, p.sent)
	if m.status < 200 {
		return nil
	}
	if m.status == 401 {
		return p.handleChallenge(m, toPlay)
	}

	p.rejected = 0
	ok := m.status < 300
	switch {
	case toPlay && m.status == 459 && p.play.url != p.trackURL: // no aggregate operation
		p.play.url = p.trackURL
		return p.sendPlay()
	case toPlay && !ok && !p.heard(): // once packets arrive, PLAY has succeeded, whatever the number says
		return &StatusError{Method: "PLAY", Code: m.status, Reason: m.reason}
	case toPlay:
		p.played = true
	case m.status == 454: // session not found
		return fmt.Errorf("keep session alive: %w", ErrEnded)
	case !ok:
		p.getless = true
	}

	if public := m.header.get("public"); public != "" {
		p.methods = public
	}
	if ok {
		p.vouch(time.Now())
	}

	return nil
}

// handleChallenge sends the request again, with the server's new nonce.
func (p *playback) handleChallenge(m message, toPlay bool) error {
	if p.rejected++; p.rejected >= maxTries {
		return ErrCredentials
	}
	if err := p.conn.acceptChallenge(m, true); err != nil {
		return err
	}
	if toPlay {
		return p.sendPlay()
	}
	return p.keepAlive()
}

// keepAlive sends a request that keeps the session from timing out. Not every server answers it.
func (p *playback) keepAlive() error {
	method := "OPTIONS"
	if p.supports("GET_PARAMETER") && !p.getless {
		method = "GET_PARAMETER"
	}
	_, _, err := p.conn.send(request{method: method, url: p.control})
	return err
}

// sendReport sends a receiver report, with a request for a keyframe if keyframe is true.
func (p *playback) sendReport(keyframe bool) error {
	b := p.track.report.receiverReport(time.Now(), keyframe)
	if p.way == overUDP {
		p.udp.sendRTCP(b)
		return nil
	}
	return p.conn.sendFrame(p.reply.rtcp, b)
}

// check probes a camera that sends nothing, or gives up on it.
func (p *playback) check(now time.Time) error {
	silent, _ := p.track.silence(p.began, now)
	switch {
	case !p.heard() && p.way == overUDP && p.fallback && !p.refused && silent > udpPatience:
		return errNoUDP
	case !p.heard() && !p.played && silent > answerTimeout:
		return ErrTimeout
	case p.track.report.ended() && silent > goodbyeGrace:
		return ErrEnded
	case silent > probeAfter && now.Sub(p.probed) > probeAfter:
		p.probed = now
		return p.keepAlive()
	}

	return nil
}

// vouch reports that the camera is alive, unless it has been silent for longer than it may be.
func (s *session) vouch(now time.Time) {
	silent, longest := s.track.silence(s.began, now)
	if silent < max(s.client.config.Silence, 2*longest) {
		s.client.config.OnAlive()
	}
}

// readConn reads the connection: answers, requests from the server, and interleaved data.
func (p *playback) readConn() error {
	defer close(p.gone)
	in := p.conn.in
	for {
		noise := in.noise
		if err := p.await(); err != nil {
			return ended(err)
		}
		m, err := in.next()
		p.client.counters.damaged.Add(int64(in.noise - noise))
		if err != nil {
			return ended(err)
		}

		if p.conn.handle(m) {
			select {
			case p.answers <- m:
			default: // more than there are requests to answer
			}
		}

		switch {
		case m.method == "TEARDOWN", m.method == "REDIRECT":
			return ErrEnded
		case p.way == overTCP && p.track.err != nil:
			return p.track.err
		}
	}
}

// await blocks until a message begins. Meanwhile it passes on access units that have waited for long enough.
func (p *playback) await() error {
	for p.way == overTCP && !p.conn.in.pending() {
		at, ok := p.track.deadline()
		if !ok {
			return nil
		}
		p.conn.SetReadDeadline(at)
		err := p.conn.in.wait()
		p.conn.SetReadDeadline(time.Time{})

		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.track.expire(time.Now())
		case err != nil:
			return err
		}
	}
	return nil
}

// readRTP reads the socket for RTP.
func (p *playback) readRTP() error {
	buffer := make([]byte, maxDatagram)
	for {
		deadline, _ := p.track.deadline()
		b, err := p.udp.read(p.udp.rtp, buffer, deadline)
		now := time.Now()
		switch {
		case err != nil:
			return fmt.Errorf("read RTP: %w", err)
		case b == nil:
			p.track.expire(now)
			continue
		}

		p.track.receive(b, now)
		p.client.config.OnAlive()
		if p.track.err != nil {
			return p.track.err
		}
	}
}

// readRTCP reads the socket for RTCP.
func (p *playback) readRTCP() error {
	buffer := make([]byte, maxReport)
	for {
		b, err := p.udp.read(p.udp.rtcp, buffer, time.Time{})
		if err != nil {
			return fmt.Errorf("read RTCP: %w", err)
		}
		p.handleRTCP(b)
	}
}

// handleRTCP handles an RTCP packet.
func (s *session) handleRTCP(b []byte) {
	now := time.Now()
	s.track.report.readRTCP(b, now)
	s.vouch(now)
}

// hangUp sends TEARDOWN and stops all reading. Closing a connection with unread data resets it, and the reset may
// overtake the TEARDOWN, so it reads on for a moment.
func (p *playback) hangUp() {
	if p.udp != nil {
		p.udp.close()
	}
	defer p.conn.Close()
	number, _, err := p.conn.send(request{method: "TEARDOWN", url: p.control})
	if err != nil {
		return
	}

	wait := time.NewTimer(teardownWait)
	defer wait.Stop()
	for {
		select {
		case m := <-p.answers:
			if p.conn.answers(m, number) {
				return
			}
		case <-p.gone:
			return
		case <-wait.C:
			return
		}
	}
}

// ended turns the end of a connection into ErrEnded.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return ErrEnded
	}
	return err
}
