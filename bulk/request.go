package bulk

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/peephole-cam/peephole/printable"
)

var (
	// ErrMalformed is returned for what the other end sent against the rules.
	ErrMalformed = errors.New("the other end does not keep to the protocol: update both ends")
	// ErrFailed is returned if the camera could not read what it offers.
	ErrFailed = errors.New("the camera could not send it: try again")
)

const (
	maxRequest = 1 << 10  // bytes of JSON
	maxReply   = 64 << 10 // bytes of JSON
	maxListed  = 1000     // objects
)

// request is all that a viewer writes on a stream. One of the two is set.
type request struct {
	List bool        `json:"list,omitempty"`
	Get  *getRequest `json:"get,omitempty"`
}

// getRequest asks for blocks of an object. It may ask for more than there are: the viewer may not know the size yet.
type getRequest struct {
	ID    string `json:"id"`
	Root  Hash   `json:"root,omitzero"`   // what the viewer has a part of; zero for whatever is current
	From  int    `json:"from,omitempty"`  // the first block, 0 to maxBlocks
	Count int    `json:"count,omitempty"` // of blocks, at most maxBlocks; 0 for all to the end
}

// span returns which blocks of an object of n blocks are asked for: those from from up to, but not including, to.
func (g *getRequest) span(n int) (from, to int) {
	from, to = min(g.From, n), n
	if g.Count > 0 {
		to = min(from+g.Count, n)
	}
	return from, to
}

// reply is how a camera's answer begins. One of the three is set. The leaf hashes and blocks follow an Object.
type reply struct {
	Objects []Info   `json:"objects,omitzero"` // to a list; not nil
	Object  *Info    `json:"object,omitempty"` // to a get
	Error   *refusal `json:"error,omitempty"`
}

// refusal says why a camera does not do what it was asked for.
type refusal struct {
	Code string `json:"code"`
	Text string `json:"text,omitempty"`
}

// The codes of refusals.
const (
	codeNotFound = "not_found"
	codeChanged  = "changed"
	codeBusy     = "busy"
	codeFailed   = "failed"
)

// newRefusal returns what a viewer learns of a Source's error.
func newRefusal(err error) *refusal {
	code := codeFailed
	switch {
	case errors.Is(err, ErrNotFound):
		code = codeNotFound
	case errors.Is(err, ErrChanged):
		code = codeChanged
	case errors.Is(err, ErrBusy):
		code = codeBusy
	}
	return &refusal{code, printable.Text(err.Error())}
}

// err returns a refusal as the viewer's error. A code that this version does not know means ErrFailed.
func (r *refusal) err() error {
	switch r.Code {
	case codeNotFound:
		return ErrNotFound
	case codeChanged:
		return ErrChanged
	case codeBusy:
		return ErrBusy
	}
	if text := printable.Text(r.Text); text != "" {
		return fmt.Errorf("%w (it says: %s)", ErrFailed, text)
	}
	return ErrFailed
}

// appendRequest appends what a viewer writes on a stream.
func appendRequest(b []byte, r request) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil || len(body) > maxRequest {
		return nil, fmt.Errorf("write request of %d bytes: %w", len(body), errors.Join(ErrMalformed, err))
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...), nil
}

// readRequest reads a request and makes sure that nothing follows it. Errors: ErrMalformed, r's own.
func readRequest(r io.Reader) (request, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return request{}, fmt.Errorf("read request: %w", short(err))
	}
	body, err := readBody(r, int(binary.BigEndian.Uint16(length[:])), maxRequest)
	if err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}
	if err := readEnd(r); err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}
	return parseRequest(body)
}

func parseRequest(body []byte) (request, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return request{}, fmt.Errorf("parse request: %w", errors.Join(ErrMalformed, err))
	}
	if r.List == (r.Get != nil) {
		return request{}, fmt.Errorf("parse request: neither a list nor an object, or both: %w", ErrMalformed)
	}

	if g := r.Get; g != nil {
		if err := checkID(g.ID); err != nil {
			return request{}, fmt.Errorf("parse request: %w", err)
		}
		if g.From < 0 || g.From > maxBlocks || g.Count < 0 || g.Count > maxBlocks {
			return request{}, fmt.Errorf("parse request: %d blocks from %d: %w", g.Count, g.From, ErrMalformed)
		}
	}
	return r, nil
}

// appendReply appends how a camera's answer begins.
func appendReply(b []byte, r reply) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil || len(body) > maxReply {
		return nil, fmt.Errorf("write reply of %d bytes: %w", len(body), errors.Join(ErrMalformed, err))
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...), nil
}

// readReply reads how a camera's answer begins. Errors: ErrMalformed, ErrTooLarge, r's own, and what a refusal stands
// for.
func readReply(r io.Reader) (reply, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return reply{}, fmt.Errorf("read reply: %w", short(err))
	}
	body, err := readBody(r, int(min(binary.BigEndian.Uint32(length[:]), maxReply+1)), maxReply)
	if err != nil {
		return reply{}, fmt.Errorf("read reply: %w", err)
	}

	a, err := parseReply(body)
	if err != nil {
		return reply{}, err
	}
	if a.Error != nil {
		return reply{}, a.Error.err()
	}
	return a, nil
}

func parseReply(body []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return reply{}, fmt.Errorf("parse reply: %w", errors.Join(ErrMalformed, err))
	}
	set := 0
	for _, is := range []bool{r.Objects != nil, r.Object != nil, r.Error != nil} {
		if is {
			set++
		}
	}
	if set != 1 || len(r.Objects) > maxListed {
		return reply{}, fmt.Errorf("parse reply: %d answers, %d objects: %w", set, len(r.Objects), ErrMalformed)
	}

	for _, o := range r.Objects {
		if err := o.check(true); err != nil {
			return reply{}, fmt.Errorf("parse reply: %w", err)
		}
	}
	if r.Object != nil {
		if err := r.Object.check(false); err != nil {
			return reply{}, fmt.Errorf("parse reply: %w", err)
		}
	}
	return r, nil
}

// readTree reads the leaf hashes of an object, at most 512 KiB, and checks them. Errors: ErrForged, ErrMalformed, r's
// own.
func readTree(r io.Reader, of Info) (*Tree, error) {
	leaves := make([]byte, countBlocks(of.Size)*leafSize)
	if _, err := io.ReadFull(r, leaves); err != nil {
		return nil, fmt.Errorf("read leaf hashes: %w", short(err))
	}
	tree := newTree(of.Size, leaves)
	if tree.Root() != of.Root {
		return nil, fmt.Errorf("leaf hashes do not make the root: %w", ErrForged)
	}
	return tree, nil
}

// readBody reads n bytes, if they are not more than limit.
func readBody(r io.Reader, n, limit int) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrMalformed)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, short(err)
	}
	return body, nil
}

// readEnd makes sure that nothing more comes.
func readEnd(r io.Reader) error {
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); {
	case err == nil:
		return fmt.Errorf("more than was announced: %w", ErrMalformed)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// short makes the error of a stream that ends too early ErrMalformed, and keeps all others.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("less than was announced: %w", ErrMalformed)
	}
	return err
}
