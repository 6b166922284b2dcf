package anet

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"syscall"
	"unsafe"
)

// An app may not bind a netlink socket, nor ask for links; for addresses (RTM_GETADDR, rtnetlink(7)) it may.

// address is one that an interface has.
type address struct {
	index int
	at    net.IPNet
}

// addressed returns the interfaces that have an address. why is what is returned when that fails too.
func addressed(why error) ([]net.Interface, error) {
	all, err := addresses()
	if err != nil {
		return nil, errors.Join(why, err)
	}

	var found []net.Interface
	for _, a := range all {
		if slices.ContainsFunc(found, func(i net.Interface) bool { return i.Index == a.index }) {
			continue
		}
		i, err := byIndex(a.index)
		if err != nil {
			return nil, errors.Join(why, err)
		}
		found = append(found, i)
	}

	return found, nil
}

// addressesOf returns the addresses of one interface.
func addressesOf(i *net.Interface, why error) (own []net.Addr, err error) {
	all, err := addresses()
	if err != nil {
		return nil, errors.Join(why, err)
	}
	for _, a := range all {
		if a.index == i.Index {
			own = append(own, &a.at)
		}
	}

	return own, nil
}

// addresses asks the kernel for all addresses, by a socket that is not bound.
func addresses() (all []address, err error) {
	s, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(s)

	request := make([]byte, syscall.NLMSG_HDRLEN+syscall.SizeofRtGenmsg)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], syscall.RTM_GETADDR)
	binary.NativeEndian.PutUint16(request[6:], syscall.NLM_F_DUMP|syscall.NLM_F_REQUEST)
	if err := syscall.Sendto(s, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, err
	}

	buffer := make([]byte, 64<<10)
	for {
		n, from, err := syscall.Recvfrom(s, buffer, 0)
		if err != nil {
			return nil, err
		}
		if kernel, ok := from.(*syscall.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue
		}

		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return all, nil
			case syscall.NLMSG_ERROR:
				return nil, errors.New("the kernel does not tell addresses")
			case syscall.RTM_NEWADDR:
				all = append(all, parse(m)...)
			}
		}
	}
}

// parse reads the address of a message (struct ifaddrmsg); none where there is none.
func parse(m syscall.NetlinkMessage) []address {
	if len(m.Data) < syscall.SizeofIfAddrmsg {
		return nil
	}
	family, prefix, index := m.Data[0], int(m.Data[1]), int(binary.NativeEndian.Uint32(m.Data[4:]))
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return nil
	}

	var ip net.IP
	for _, a := range attributes {
		// Of a point-to-point link IFA_ADDRESS is the other end's.
		if own := a.Attr.Type == syscall.IFA_LOCAL; own || a.Attr.Type == syscall.IFA_ADDRESS && ip == nil {
			ip = slices.Clone(net.IP(a.Value))
		}
	}

	size := map[byte]int{syscall.AF_INET: net.IPv4len, syscall.AF_INET6: net.IPv6len}[family]
	if size == 0 || len(ip) != size || prefix > 8*size {
		return nil
	}
	return []address{{index, net.IPNet{IP: ip, Mask: net.CIDRMask(prefix, 8*size)}}}
}

// request is struct ifreq (netdevice(7)).
type request struct {
	name  [syscall.IFNAMSIZ]byte
	value [24]byte
}

// byIndex asks for the name, MTU and flags of an interface.
func byIndex(index int) (net.Interface, error) {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return net.Interface{}, err
	}
	defer syscall.Close(s)

	var r request
	ask := func(what uintptr) error {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), what, uintptr(unsafe.Pointer(&r))); e != 0 {
			return e
		}
		return nil
	}

	binary.NativeEndian.PutUint32(r.value[:], uint32(index))
	if err := ask(syscall.SIOCGIFNAME); err != nil {
		return net.Interface{}, err
	}
	i := net.Interface{Index: index, Name: string(r.name[:max(slices.Index(r.name[:], 0), 0)])}
	if err := ask(syscall.SIOCGIFMTU); err == nil {
		i.MTU = int(binary.NativeEndian.Uint32(r.value[:]))
	}

	if err := ask(syscall.SIOCGIFFLAGS); err != nil {
		return net.Interface{}, err
	}
	i.Flags = flags(binary.NativeEndian.Uint16(r.value[:]))
	return i, nil
}

// flags translates the kernel's.
func flags(kernel uint16) (f net.Flags) {
	for bit, flag := range map[uint16]net.Flags{
		syscall.IFF_UP:          net.FlagUp,
		syscall.IFF_RUNNING:     net.FlagRunning,
		syscall.IFF_BROADCAST:   net.FlagBroadcast,
		syscall.IFF_LOOPBACK:    net.FlagLoopback,
		syscall.IFF_POINTOPOINT: net.FlagPointToPoint,
		syscall.IFF_MULTICAST:   net.FlagMulticast,
	} {
		if kernel&bit != 0 {
			f |= flag
		}
	}
	return f
}
