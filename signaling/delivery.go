package signaling

import "sync"

// Delivery is one message that a relay delivered.
type Delivery struct {
	Body    []byte
	Carrier string // the name of the Carrier that brought it; "" if there is only one
	reject  func()
}

// NewDelivery returns a Delivery whose first Reject calls reject. Stand-ins for a Client use it.
func NewDelivery(body []byte, reject func()) Delivery {
	return Delivery{Body: body, reject: sync.OnceFunc(reject)}
}

// Reject tells the relay that the message does not belong in this mailbox, because no key of the mailbox opens it. The
// relay counts the rejection for the node where the message was posted, so that its operator learns of a node that
// misroutes; it does not delete the message. Only the first call counts. It may come from any goroutine at any time,
// and does nothing after the connection that brought the message was lost.
func (d Delivery) Reject() {
	if d.reject != nil {
		d.reject()
	}
}
