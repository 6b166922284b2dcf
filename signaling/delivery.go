package signaling

import "sync"

// Delivery is one message that a relay delivered.
type Delivery struct {
	Body   []byte
	reject func()
}

// NewDelivery makes a Delivery whose first Reject calls reject, for those who stand in a client's place.
func NewDelivery(body []byte, reject func()) Delivery {
	return Delivery{body, sync.OnceFunc(reject)}
}

// Reject tells the relay that the message is none of this mailbox's: it does not open under any key that belongs here. The relay
// counts it, by the node where it was posted, so that its operator hears of a node that misroutes; it does not delete the message.
// Only the first call counts, and it may come from any goroutine, at any time: once the connection is lost that brought the message,
// there is nobody to tell, and nothing is said.
func (d Delivery) Reject() {
	if d.reject != nil {
		d.reject()
	}
}
