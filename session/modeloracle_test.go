package session

import "time"

// The oracle of TestSessionModel: which message opens where, in plain numbers. Pairs, askings (a viewer's ends) and servings (a
// camera's ends) are numbered from 1.

// modelAsking is what the oracle knows of a viewer's end.
type modelAsking struct {
	number, pair int
	still        bool
	expires      time.Time // its offer
	over         bool      // it has an answer or a refusal
	serving      int       // whose answer it took; 0: none yet
	challenges   []time.Time
	records      [3]uint64 // by channel: the lowest counter that may still come
	frame        uint64    // likewise
	chunks       map[int]bool
}

// modelServing is what the oracle knows of a camera's end.
type modelServing struct {
	number, asking int
	secret         int // whose secret it has: its own number, or that of the end it was copied from
	random         int // whose bytes its frames are sealed under
	challenge      int // of its asking: the last that it heard of; 0: none
	frames         uint64
	sealedStill    bool
	records        [3]uint64
}

// modelReply is an answer, or a refusal when no end serves.
type modelReply struct {
	asking, serving int
	expires         time.Time
}

const modelSkew = 2 * time.Minute

// takes says whether an asking takes a reply at a time.
func (a *modelAsking) takes(r modelReply, now time.Time) bool {
	return r.asking == a.number && !now.After(r.expires.Add(modelSkew))
}

// modelRecord is a record: whose secret, which way and how many came before it.
type modelRecord struct {
	secret    int // a serving's number
	toCamera  bool
	channel   channel
	counter   uint64
	challenge int // that it carries; 0: none
	text      string
}

// opens says whether a record opens for an end that has a serving's secret, on a channel, and next is the lowest counter that may come.
func (r modelRecord) opens(secret int, atCamera bool, c channel, next uint64) bool {
	return secret != 0 && r.secret == secret && r.toCamera == atCamera && r.channel == c && r.counter >= next
}

// modelFrame is a sealed frame, or a chunk of a still.
type modelFrame struct {
	secret, random int
	chunk          bool
	place          uint64
	challenge      int
	data           string
}

// opens says whether a frame or chunk opens for an asking; what came before it, it has to say itself.
func (a *modelAsking) opens(f modelFrame, chunk bool) bool {
	return a.serving != 0 && f.secret == a.serving && f.random == a.serving && f.chunk == chunk
}

// live says whether a frame with a challenge of this asking's is live.
func (a *modelAsking) live(challenge int, now time.Time) bool {
	return challenge != 0 && challenge > len(a.challenges)-64 && now.Sub(a.challenges[challenge-1]) <= 5*time.Second
}
