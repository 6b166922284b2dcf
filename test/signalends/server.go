package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// serve serves both carriers until ctx ends.
func (c config) serve(ctx context.Context) error {
	own, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", c.at)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", c.at)
	if err != nil {
		return err
	}

	identity := &tls.Config{Certificates: []tls.Certificate{own}}
	overTCP := &http.Server{Handler: http.HandlerFunc(serveWebSocket)}
	overUDP := &webtransport.Server{H3: &http3.Server{
		TLSConfig:  http3.ConfigureTLSConfig(identity),
		QUICConfig: quicConfig,
	}}
	overUDP.H3.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveWebTransport(overUDP, w, r)
	})

	ended := make(chan error, 2)
	go func() { ended <- overTCP.Serve(tls.NewListener(tcp, identity)) }()
	go func() { ended <- overUDP.Serve(udp) }()
	fmt.Println("ready")
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(overTCP.Close(), overUDP.Close(), udp.Close())
	}
}

func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.SetReadLimit(maxMessage)
	answer(r.Context(), webSocket{conn})
}

func serveWebTransport(server *webtransport.Server, w http.ResponseWriter, r *http.Request) {
	session, err := server.Upgrade(w, r)
	if err != nil {
		return
	}
	stream, err := session.OpenStreamSync(r.Context())
	if err != nil {
		return
	}
	answer(session.Context(), &webTransport{stream: stream, session: session})
}

// answer answers a client until it leaves.
func answer(ctx context.Context, conn messageConn) {
	defer conn.Close()
	if err := conn.Send(ctx, make([]byte, challengeSize)); err != nil {
		return
	}
	for {
		message, err := conn.Receive(ctx)
		if err != nil {
			return
		}
		if len(message) == openSize {
			message = make([]byte, openedSize)
		}
		if err := conn.Send(ctx, message); err != nil {
			return
		}
	}
}
