package handshake

import "time"

// The oracle of TestSessionModel knows which message opens where, in plain numbers. Pairs, askings (viewers' ends) and
// servings (cameras' ends) are numbered from 1.

// modelAsking is what the oracle knows about a viewer's end.
type modelAsking struct {
	number, pair int
	still        bool
	expires      time.Time // when its offer expires
	over         bool      // it has an answer or a refusal
	serving      int       // the serving whose answer it accepted; 0 if none yet
	challenges   []time.Time
	records      [3]modelHeard // by channel
	frame        uint64        // the lowest counter of a frame that it still accepts
	chunks       map[int]bool
}

// modelServing is what the oracle knows about a camera's end.
type modelServing struct {
	number, asking int
	secret         int // whose secret it has: its own number, or that of the end from which it was copied
	random         int // whose random bytes go into the keys of its frames
	challenge      int // the number of the last challenge that it received from its asking; 0 if none
	frames         uint64
	sealedStill    bool
	records        [3]modelHeard
}

// modelReply is an answer, or a refusal if serving is 0.
type modelReply struct {
	asking, serving int
	expires         time.Time
}

const modelSkew = 2 * time.Minute

// takes reports whether an asking accepts a reply at a given time.
func (a *modelAsking) takes(r modelReply, now time.Time) bool {
	return r.asking == a.number && !now.After(r.expires.Add(modelSkew))
}

// modelRecord is a record: whose secret it is sealed under, its direction, and how many were sealed before it.
type modelRecord struct {
	secret    int // a serving's number
	toCamera  bool
	channel   channel
	counter   uint64
	challenge int // the number of the challenge that it carries; 0 if none
	text      string
}

// opens reports whether a record opens on channel c for an end that has a serving's secret.
func (r modelRecord) opens(secret int, atCamera bool, c channel) bool {
	return secret != 0 && r.secret == secret && r.toCamera == atCamera && r.channel == c
}

// modelHeard holds the records that have opened for an end on one channel.
type modelHeard struct {
	counters map[uint64]bool
	kinds    map[string]uint64 // the newest counter of each type
}

// judge returns what an end does with a record that opens, and notes it.
func (h *modelHeard) judge(r modelRecord) modelVerdict {
	if h.counters == nil {
		h.counters, h.kinds = make(map[uint64]bool), make(map[string]uint64)
	}
	for counter := range h.counters {
		if counter >= r.counter+64 {
			return modelLate
		}
	}

	if h.counters[r.counter] {
		return modelCopy
	}
	h.counters[r.counter] = true
	if newest, ok := h.kinds[r.kind()]; ok && r.counter < newest {
		return modelLate
	}
	h.kinds[r.kind()] = r.counter
	return modelObeyed
}

// kind returns a record's type. The model seals two, of which only the newest counts.
func (r modelRecord) kind() string {
	if r.challenge > 0 {
		return "challenge"
	}
	return "status"
}

// modelVerdict is what becomes of a record.
type modelVerdict string

const (
	modelForeign modelVerdict = "foreign"
	modelCopy    modelVerdict = "copy"
	modelLate    modelVerdict = "late"
	modelObeyed  modelVerdict = "obeyed"
)

// modelFrame is a sealed frame, or a chunk of a still.
type modelFrame struct {
	secret, random int
	chunk          bool
	place          uint64
	challenge      int
	data           string
}

// opens reports whether a frame or chunk opens for an asking. The caller must consider what arrived before.
func (a *modelAsking) opens(f modelFrame, chunk bool) bool {
	return a.serving != 0 && f.secret == a.serving && f.random == a.serving && f.chunk == chunk
}

// live reports whether a frame with this challenge of the asking is live.
func (a *modelAsking) live(challenge int, now time.Time) bool {
	return challenge != 0 && challenge > len(a.challenges)-64 && now.Sub(a.challenges[challenge-1]) <= 5*time.Second
}
