package internal.nexus.client;

import com.google.protobuf.Descriptors;
import com.google.protobuf.Message;
import internal.nexus.inference.v1.InferenceProto;
import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoUtils;

/** gRPC methods by the descriptors that protoc itself generates: no plugin of this machine's kind is needed. */
final class Methods {
    private static final Descriptors.ServiceDescriptor SERVICE =
            InferenceProto.getDescriptor().findServiceByName("InferenceService");

    private Methods() {}

    static <Q extends Message, A extends Message> MethodDescriptor<Q, A> of(String name, Q request, A answer) {
        Descriptors.MethodDescriptor method = SERVICE.findMethodByName(name);
        return MethodDescriptor.<Q, A>newBuilder()
                .setType(
                        method.isServerStreaming()
                                ? MethodDescriptor.MethodType.SERVER_STREAMING
                                : MethodDescriptor.MethodType.UNARY)
                .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE.getFullName(), name))
                .setRequestMarshaller(ProtoUtils.marshaller(request))
                .setResponseMarshaller(ProtoUtils.marshaller(answer))
                .build();
    }
}
