package rtsp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 10 * time.Second
	writeTimeout  = 5 * time.Second
	// maxTries is how often a request is sent: without credentials, with them, and with a fresh nonce.
	maxTries = 3
	// maxAside is how many other messages may arrive before an answer.
	maxAside = 1000
)

// conn is a connection to a server. It carries requests, their answers, and interleaved data.
type conn struct {
	net.Conn
	in      *messageReader
	onFrame func(channel uint8, packet []byte)

	mu      sync.Mutex // guards all below, and writes
	auth    authenticator
	session string
	cseq    int
	echoes  bool // the server's answers repeat our CSeq
	out     []byte
}

// connect opens a connection to a server.
func (c *Client) connect(ctx context.Context, to target) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, ErrTimeout)
	defer cancel()
	nc, err := c.config.Dial(ctx, "tcp", to.address)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(cause, ErrTimeout) {
			err = cause
		}
		return nil, err
	}

	if !to.secure {
		return nc, nil
	}
	secure := tls.Client(nc, tlsConfig(to.host, c.trust))
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("secure connection: %w", err)
	}
	return secure, nil
}

// tlsConfig trusts a certificate for host that a root vouches for, and otherwise one that pin accepts: cameras have
// self-signed certificates.
func tlsConfig(host string, pin func([sha256.Size]byte) error) *tls.Config {
	return &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, // VerifyConnection decides
		VerifyConnection: func(s tls.ConnectionState) error {
			chain := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				chain.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: chain})
			if err == nil {
				return nil
			}
			return pin(sha256.Sum256(s.PeerCertificates[0].Raw))
		},
	}
}

func newConn(nc net.Conn, auth authenticator, plays func(uint8) bool, onFrame func(uint8, []byte)) *conn {
	return &conn{Conn: nc, in: newMessageReader(nc, plays), onFrame: onFrame, auth: auth}
}

// send writes a request. It returns the request's number, and whether the request carries credentials.
func (c *conn) send(r request) (cseq int, authorized bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cseq++
	var fields []string
	if c.session != "" {
		fields = append(fields, "Session: "+c.session)
	}

	line := c.auth.authorization(r)
	if line != "" {
		fields = append(fields, line)
	}
	c.out = appendRequest(c.out[:0], r, c.cseq, fields...)
	return c.cseq, line != "", c.write(c.out)
}

// write writes b. mu must be held.
func (c *conn) write(b []byte) error {
	c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.Conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", timeout(err))
	}
	return nil
}

// sendFrame writes interleaved data.
func (c *conn) sendFrame(channel uint8, packet []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out[:0], '$', channel, byte(len(packet)>>8), byte(len(packet)))
	c.out = append(c.out, packet...)
	return c.write(c.out)
}

// do sends a request and returns its answer. If the answer is not 2xx, the error is a *StatusError. It answers one
// challenge, and another one if a nonce was stale.
func (c *conn) do(r request) (message, error) {
	for range maxTries {
		cseq, authorized, err := c.send(r)
		if err != nil {
			return message{}, err
		}
		m, err := c.answer(cseq)
		if err != nil {
			return message{}, fmt.Errorf("%s: %w", r.method, err)
		}

		switch {
		case m.status == 401:
			if err := c.acceptChallenge(m, authorized); err != nil {
				return message{}, err
			}
			continue
		case m.status < 200 || m.status > 299:
			return m, &StatusError{Method: r.method, Code: m.status, Reason: m.reason}
		}

		c.noteSuccess(m, authorized)
		return m, nil
	}
	return message{}, ErrCredentials
}

// acceptChallenge reads the challenge of a 401. It returns nil if the request should be sent again.
func (c *conn) acceptChallenge(m message, authorized bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.auth.acceptChallenge(m.header, authorized)
}

// noteSuccess remembers from a 2xx that the credentials are right, and the session.
func (c *conn) noteSuccess(m message, authorized bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth.accepted = c.auth.accepted || authorized
	if id, _ := parseSession(m.header.get("session")); id != "" {
		c.session = id
	}
}

// answer reads up to the answer to the request with that number. Until then it handles frames and the server's own
// requests, and drops late answers.
func (c *conn) answer(cseq int) (message, error) {
	c.SetReadDeadline(time.Now().Add(answerTimeout))
	defer c.SetReadDeadline(time.Time{})
	for range maxAside {
		m, err := c.in.next()
		if err != nil {
			return message{}, timeout(err)
		}
		if c.handle(m) && m.status >= 200 && c.answers(m, cseq) {
			return m, nil
		}
	}

	return message{}, fmt.Errorf("read answer: %w", ErrMalformed)
}

// answers reports whether a response is the one to the request with that number.
func (c *conn) answers(m message, cseq int) bool {
	number, err := strconv.Atoi(m.header.get("cseq"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && number == cseq {
		c.echoes = true
	}
	return err != nil || number >= cseq || !c.echoes
}

// handle handles frames and requests from the server. It reports whether m is a response, which it leaves to the
// caller.
func (c *conn) handle(m message) (response bool) {
	switch {
	case m.isFrame():
		c.onFrame(m.channel, m.body)
		return false
	case m.method != "":
		c.reply(m)
		return false
	}
	return true
}

// reply answers a request from the server: 200 if it only checks that we are there, otherwise 501.
func (c *conn) reply(m message) {
	status := "501 Not Implemented"
	switch m.method {
	case "OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE":
		status = "200 OK"
	}

	number, err := strconv.Atoi(m.header.get("cseq"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()

	// An error shows at the next read.
	c.write(fmt.Appendf(nil, "RTSP/1.0 %s\r\nCSeq: %d\r\n\r\n", status, number))
}

// timeout turns an exceeded deadline into ErrTimeout.
func timeout(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrTimeout
	}
	return err
}
