package turn

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// role is the end of a session that an allocation belongs to.
type role uint8

const (
	camera role = iota
	viewer
)

// roleLetters are the roles as a username spells them.
const roleLetters = "cv"

// other returns the role at the other end of the session.
func (r role) other() role { return 1 - r }

type (
	sessionID [16]byte // random; names one session in one grant
	keyID     [4]byte  // names the secret that made a credential
	payerID   [6]byte  // who pays for the session, and whose limits apply; all zero: nobody
)

// sessionName names a session among those of all secrets and regions. Both ends' credentials are made with one key. So
// no region can make an end of a session that another has granted, though it knows the session's id.
type sessionName struct {
	id  sessionID
	key keyID
}

// username says who a credential is for: `expiry:session:role:payer:keyid`. The expiry is in Unix seconds, decimal; the
// session is 16 bytes and the payer 6 bytes, in base64url; the role is c or v; the key id is 4 bytes, in hex.
type username struct {
	expiry  int64
	session sessionID
	role    role
	payer   payerID
	key     keyID
}

var errMalformed = errors.New("malformed username")

// maxUsername is the longest username: 11 digits, 22 + 1 + 8 + 8 characters and four colons.
const maxUsername = 54

// parseUsername parses the one spelling that username.text writes. It returns errMalformed for anything else.
func parseUsername(s string) (username, error) {
	var u username
	if len(s) > maxUsername {
		return u, errMalformed
	}
	parts := strings.Split(s, ":")
	if len(parts) != 5 {
		return u, errMalformed
	}

	expiry, err := strconv.ParseUint(parts[0], 10, 40)
	if err != nil {
		return u, errMalformed
	}
	u.expiry = int64(expiry)

	session, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil || len(session) != len(u.session) {
		return u, errMalformed
	}
	copy(u.session[:], session)

	switch parts[2] {
	case roleLetters[camera : camera+1]:
		u.role = camera
	case roleLetters[viewer : viewer+1]:
		u.role = viewer
	default:
		return u, errMalformed
	}

	payer, err := base64.RawURLEncoding.Strict().DecodeString(parts[3])
	if err != nil || len(payer) != len(u.payer) {
		return u, errMalformed
	}
	copy(u.payer[:], payer)

	key, err := hex.DecodeString(parts[4])
	if err != nil || len(key) != len(u.key) {
		return u, errMalformed
	}
	copy(u.key[:], key)

	if u.text() != s { // leading zeros, upper-case hex, line breaks in base64
		return u, errMalformed
	}
	return u, nil
}

// text returns the username's spelling.
func (u username) text() string {
	payer := base64.RawURLEncoding.EncodeToString(u.payer[:])
	return fmt.Sprintf("%d:%s:%c:%s:%x", u.expiry, u.session.text(), roleLetters[u.role], payer, u.key[:])
}

// name returns the name of the session.
func (u username) name() sessionName { return sessionName{u.session, u.key} }

func (s sessionID) text() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// expires returns the first moment at which the credential no longer makes an allocation.
func (u username) expires() time.Time { return time.Unix(u.expiry, 0) }
