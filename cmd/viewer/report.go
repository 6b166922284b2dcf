package main

import (
	"encoding/json"
	"io"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/session"
)

// report is what watch -json prints at the end. Scripts rely on its fields.
type report struct {
	Camera          string `json:"camera"`
	Frames          int    `json:"frames"`
	Bytes           int    `json:"bytes"`
	Rejected        int    `json:"rejected"`         // what arrived and did not open
	Missing         uint64 `json:"missing"`          // frames that did not arrive
	Delayed         int    `json:"delayed"`          // frames that were no longer live once written
	Live            bool   `json:"live"`             // the last frame is still live as this is printed
	Signaling       string `json:"signaling"`        // "relay", "lan" or "circuit"; empty if the camera did not answer
	SignalingRegion string `json:"signaling_region"` // the region of the relay that brought the answer, or its host
	TURNRegion      string `json:"turn_region"`      // the region of the session's TURN server, or its relay's host
	Path            string `json:"path"`             // "direct" or "relay"
	Why             string `json:"why"`
	LocalCandidate  string `json:"local_candidate"`
	RemoteCandidate string `json:"remote_candidate"`

	Explain *session.Explain   `json:"explain"` // null if the camera did not answer
	Sending *session.SendStats `json:"sending"` // what the camera last said about how it sends; null if it said nothing

	// Milliseconds from the start of the session.
	TTFF      float64 `json:"ttff_ms"`    // to the first picture
	Stream    float64 `json:"stream_ms"`  // to the first frame of the stream
	Reached   float64 `json:"reached_ms"` // to the connection to the relay
	Answered  float64 `json:"answered_ms"`
	Checked   float64 `json:"checked_ms"` // to ICE's selected pair
	Connected float64 `json:"connected_ms"`

	Error string `json:"error"`
}

// write prints the report of a run that ended with err.
func (r report) write(to io.Writer, err error) error {
	if err != nil {
		r.Error = redact.Text(err.Error())
	}
	return json.NewEncoder(printable.Writer(to)).Encode(r)
}
