package rtsp

import (
	"errors"
	"fmt"
)

var (
	// ErrURL is returned for a URL other than rtsp://[user:password@]host[:port]/path, or the same with rtsps.
	ErrURL = errors.New("want rtsp://[user:password@]host[:port]/path")
	// ErrNotRTSP is returned if the server speaks another protocol.
	ErrNotRTSP = errors.New("the server does not speak RTSP")
	// ErrNoCredentials is returned if the server wants a user name and a password, and the URL has none.
	ErrNoCredentials = errors.New("the server wants a user name and a password")
	// ErrCredentials is returned if the server refuses the user name or the password.
	ErrCredentials = errors.New("the server refused the user name or the password")
	// ErrScheme is returned if the server accepts no authentication scheme that this client supports.
	ErrScheme = errors.New("the server wants an authentication scheme other than Basic and Digest")
	// ErrDescription is returned if the answer to DESCRIBE is not a session description.
	ErrDescription = errors.New("the server's session description cannot be read")
	// ErrNoVideo is returned if the session description has no video track.
	ErrNoVideo = errors.New("the server offers no video track")
	// ErrTransport is returned if the server sends neither over TCP nor over UDP.
	ErrTransport = errors.New("the server accepts neither TCP nor UDP")
	// ErrRedirects is returned if the server's redirections do not end, or lead nowhere.
	ErrRedirects = errors.New("the server's redirections lead nowhere")
	// ErrCertificate is returned if a server's certificate differs from the one trusted before.
	ErrCertificate = errors.New("the server's certificate has changed")
	// ErrMalformed is returned for a message, packet or payload that breaks its format or exceeds a limit.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge is returned for an access unit that exceeds Config.MaxUnit.
	ErrTooLarge = errors.New("the access unit is too large")
	// ErrEnded is returned if the server ends the stream.
	ErrEnded = errors.New("the server ended the stream")
	// ErrTimeout is returned if the server does not answer.
	ErrTimeout = errors.New("the server does not answer")

	errNoUDP = errors.New("no packet arrived over UDP")
)

// StatusError is the refusal of a request.
type StatusError struct {
	Method string // of the request
	Code   int    // the status code
	Reason string // the server's reason phrase: printable ASCII, at most 80 bytes
}

func (e *StatusError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s: status %d", e.Method, e.Code)
	}
	return fmt.Sprintf("%s: status %d: %s", e.Method, e.Code, e.Reason)
}

// CodecError is returned if the only video tracks have codecs that Config.Codecs does not accept.
type CodecError struct {
	Codec string // of one of them: its RTP encoding name in capitals, such as "H265" or "JPEG"
}

func (e *CodecError) Error() string { return fmt.Sprintf("the video track's codec is %s", e.Codec) }
