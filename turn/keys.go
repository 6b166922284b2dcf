package turn

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Every use of a secret goes through HKDF-SHA256 with its own label.
const (
	labelKeyID      = "peephole turn key id v1"
	labelCredential = "peephole turn credential v1"
	labelPayer      = "peephole turn payer v1"
)

// MinSecret is the shortest that a secret may be, in bytes.
const MinSecret = 32

// MaxTTL is the longest time for which a grant may make allocations.
const MaxTTL = 24 * time.Hour

var (
	// ErrSecret is returned for a secret that is too short or already in use.
	ErrSecret = errors.New("bad secret")
	// ErrTTL is returned for a time to live outside one second to MaxTTL.
	ErrTTL = errors.New("bad time to live")

	errUnknownKey = errors.New("unknown key id")
)

// Keys makes and checks credentials under two overlapping secrets: the current one makes them, both check them. So a
// secret can be replaced without a restart, and a credential outlives one rotation but not two. Safe for concurrent
// use.
type Keys struct {
	groups  groups
	regions regionKeys // by which other regions are granted to, and grant

	mu       sync.RWMutex
	current  key  // guarded by mu
	previous *key // guarded by mu; nil: none
}

// key is what is derived from one secret.
type key struct {
	id    keyID
	mac   []byte
	payer []byte // makes the pseudonyms of payers
}

// NewKeys takes the current secret and the previous one, nil if there is none. Each must be uniformly random and have
// at least MinSecret bytes. Processes with the same secrets accept each other's credentials. NewKeys returns ErrSecret.
func NewKeys(current, previous []byte) (*Keys, error) {
	c, err := deriveKey(current)
	if err != nil {
		return nil, fmt.Errorf("derive current key: %w", err)
	}
	k := &Keys{groups: newGroups(), current: c}
	if previous == nil {
		return k, nil
	}

	p, err := deriveKey(previous)
	if err != nil {
		return nil, fmt.Errorf("derive previous key: %w", err)
	}
	if p.id == c.id {
		return nil, fmt.Errorf("secrets are the same: %w", ErrSecret)
	}
	k.previous = &p
	return k, nil
}

func deriveKey(secret []byte) (key, error) {
	var k key
	if len(secret) < MinSecret {
		return k, fmt.Errorf("%d bytes, need %d: %w", len(secret), MinSecret, ErrSecret)
	}

	id, err := hkdf.Key(sha256.New, secret, nil, labelKeyID, len(k.id))
	if err != nil {
		return k, fmt.Errorf("derive key id: %w", err)
	}
	copy(k.id[:], id)
	if k.mac, err = hkdf.Key(sha256.New, secret, nil, labelCredential, sha256.Size); err != nil {
		return k, fmt.Errorf("derive credential key: %w", err)
	}
	if k.payer, err = hkdf.Key(sha256.New, secret, nil, labelPayer, sha256.Size); err != nil {
		return k, fmt.Errorf("derive payers' key: %w", err)
	}
	return k, nil
}

// Rotate makes next the current secret, and the current one the previous. Credentials of the previous secret are
// refused from now on, except for allocations that already live. Rotate returns ErrSecret, and then changes nothing.
func (k *Keys) Rotate(next []byte) error {
	n, err := deriveKey(next)
	if err != nil {
		return fmt.Errorf("derive next key: %w", err)
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if n.id == k.current.id {
		return fmt.Errorf("secret is the current one: %w", ErrSecret)
	}
	old := k.current
	k.current, k.previous = n, &old
	return nil
}

// LogValue keeps the keys out of logs.
func (k *Keys) LogValue() slog.Value { return slog.StringValue("redacted") }

// Credential is what one end of a session gives to its TURN client. The password is a secret.
type Credential struct {
	Username string // expiry:session:role:payer:keyid
	Password string // base64 of HMAC-SHA256 over the username
}

// LogValue keeps the password out of logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue("redacted") }

// Grant lets both ends of one new session allocate.
type Grant struct {
	Session string // 128 bits, base64url; 64 of them random, and the others too for a session without a group
	Camera  Credential
	Viewer  Credential
	Expires time.Time // no new allocation from then on; living ones may be refreshed for Config.MaxLifetime more
}

// LogValue keeps the credentials out of logs.
func (g Grant) LogValue() slog.Value { return slog.StringValue("redacted") }

// Grant makes the credentials of a new session, good for ttl from now, in whole seconds. All sessions of one payer
// share its limits; "" means that nobody pays, and no payer's limits apply. The credentials name the payer by a
// pseudonym that changes with the secret. Grant returns ErrTTL.
func (k *Keys) Grant(payer string, now time.Time, ttl time.Duration) (Grant, error) {
	return k.GrantThrough(payer, "", now, ttl)
}

// GrantThrough is Grant for a session that Server.Revoke can end together with all others granted through the same
// thing; "" means through nothing. The session's id begins with a pseudonym of that thing, which only this process
// makes. GrantThrough returns ErrTTL.
func (k *Keys) GrantThrough(payer, through string, now time.Time, ttl time.Duration) (Grant, error) {
	if err := checkTTL(ttl); err != nil {
		return Grant{}, err
	}

	k.mu.RLock()
	current := k.current
	k.mu.RUnlock()

	u := current.username(payer, now.Add(ttl))
	if through != "" {
		group := k.groups.id(through)
		copy(u.session[:], group[:])
		u.expiry = k.groups.addCredential(group, u.expiry, now)
	}
	return current.grant(u), nil
}

func checkTTL(ttl time.Duration) error {
	if ttl < time.Second || ttl > MaxTTL {
		return fmt.Errorf("%v is not within 1s and %v: %w", ttl, MaxTTL, ErrTTL)
	}
	return nil
}

// username returns a new session's username, but for its role.
func (k key) username(payer string, expires time.Time) username {
	u := username{expiry: expires.Unix(), payer: k.pseudonym(payer), key: k.id}
	rand.Read(u.session[:]) // never fails: crypto/rand ends the process rather than return an error
	return u
}

// grant returns both ends' credentials of the session that u names, whatever its role.
func (k key) grant(u username) Grant {
	c, v := u, u
	c.role, v.role = camera, viewer
	return Grant{
		Session: u.session.text(),
		Camera:  k.credential(c),
		Viewer:  k.credential(v),
		Expires: u.expires(),
	}
}

// pseudonym returns the name of a payer. Payers whose pseudonyms collide share their limits, and nothing else.
func (k key) pseudonym(payer string) (id payerID) {
	if payer == "" {
		return id
	}
	mac := hmac.New(sha256.New, k.payer)
	mac.Write([]byte(payer))
	copy(id[:], mac.Sum(nil))
	return id
}

// group returns the group of the sessions that are granted through something in another region.
func (k key) group(through string) (id groupID) {
	mac := hmac.New(sha256.New, k.payer)
	mac.Write([]byte("through "))
	mac.Write([]byte(through))
	copy(id[:], mac.Sum(nil))
	return id
}

func (k key) credential(u username) Credential {
	name := u.text()
	mac := hmac.New(sha256.New, k.mac)
	mac.Write([]byte(name))
	return Credential{Username: name, Password: base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

// password returns the password that belongs to u, and who issued it; or errUnknownKey, or errRevoked. It compares
// nothing secret: pion checks the client's MESSAGE-INTEGRITY against the password, in constant time.
func (k *Keys) password(u username, now time.Time) (string, *region, error) {
	if k.groups.isRevoked(u) {
		return "", nil, errRevoked
	}

	k.mu.RLock()
	current, previous := k.current, k.previous
	k.mu.RUnlock()
	switch {
	case u.key == current.id:
		return current.credential(u).Password, nil, nil
	case previous != nil && u.key == previous.id:
		return previous.credential(u).Password, nil, nil
	}
	if foreign, ok := k.regions.from(u.key, now); ok && !u.expires().After(now.Add(MaxTTL+maxRegionSkew)) {
		return foreign.credential(u).Password, foreign.issuer, nil
	}
	return "", nil, errUnknownKey
}
