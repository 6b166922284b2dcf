package viewer

import (
	"context"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// ReadCode reads a camera's code, from the text of a QR code or from a link. It does not use the network. The code
// holds the relay that it leads to, and gives the words by which to know the camera: let a person approve both before
// Pair.
func ReadCode(text string) (Code, error) {
	code, err := pairing.Parse(text)
	if err != nil {
		return Code{}, err
	}
	if code.Role != identity.Camera {
		return Code{}, ErrNotACamera
	}
	return code, nil
}

// Pair pairs with the camera that shows this code. A code is good for one try. Pair connects to the relay that the code
// names, and the camera learns this viewer's keys; so a person must have agreed to it. It returns once the camera's
// first sealed message has opened and the pair is on disk.
func (v *Viewer) Pair(ctx context.Context, code Code) (Camera, error) {
	if code.Role != identity.Camera {
		return Camera{}, ErrNotACamera
	}
	if err := v.store.CheckRoom(); err != nil { // before the camera counts this viewer as paired
		return Camera{}, err
	}

	link, err := v.connect(ctx, code.RelayURL)
	if err != nil {
		return Camera{}, err
	}
	defer link.stop()

	pair, hello, err := scan(ctx, link.relay, pairing.NewScanner(v.self, code), code)
	if err != nil {
		return Camera{}, err
	}
	camera, err := v.addCamera(pair, code.RelayURL, hello.Name)
	if err == nil && hello.Relays != nil && hello.Relays.Valid() {
		v.keepRelayList(pairing.Record{Pair: pair, RelayURL: code.RelayURL, Name: camera.Name}, *hello.Relays)
	}
	return camera, err
}
