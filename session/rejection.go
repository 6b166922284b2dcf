package session

// Rejection describes something that arrived and did not open. Nothing of it was shown.
type Rejection struct {
	What string // "envelope", "record", "frame" or "packet"
	Err  error
}

// Text returns the sentence for a person.
func (Rejection) Text() string {
	return "The relay delivered something that is not from your camera; nothing was shown."
}
