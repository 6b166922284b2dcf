package session

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNoAnswer is returned if the camera does not answer an offer in time.
	ErrNoAnswer = errors.New("your camera did not answer: it may be off or without internet")
	// ErrLost is returned if the connection to the camera broke and did not come back.
	ErrLost = errors.New("the connection to the camera was lost")
	// ErrEnded is returned if the camera ended the session.
	ErrEnded = errors.New("the camera ended the session")
	// ErrChannel is returned if the other end opens a second data channel: a session has one, and each costs memory.
	ErrChannel = errors.New("the other end opened another data channel")
	// ErrSilent is returned if the relay is connected but does not accept the offer in time.
	ErrSilent = errors.New("the relay does not answer")
)

const (
	// answerWait is how long the relay may take to accept an offer, and then the camera to answer it.
	answerWait = 10 * time.Second
	// connectWait is how long it may take to find a path.
	connectWait = 20 * time.Second
)

// noWayError ends a session that never had a path. It wraps ErrLost, because both are reasons to try again.
type noWayError struct {
	to string // "camera" or "viewer"
}

func (e noWayError) Error() string {
	return fmt.Sprintf("no way to the %s was found: run viewer doctor at both ends", e.to)
}

func (noWayError) Unwrap() error { return ErrLost }
