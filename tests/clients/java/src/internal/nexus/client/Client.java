package internal.nexus.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import internal.nexus.inference.v1.CompleteRequest;
import internal.nexus.inference.v1.CompleteResponse;
import internal.nexus.inference.v1.Envelope;
import internal.nexus.inference.v1.StreamRequest;
import internal.nexus.inference.v1.StreamResponse;
import internal.nexus.types.v1.Operation;
import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import java.io.File;
import java.io.IOException;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;

/**
 * A Java client of the mesh: whole answers, streams, cancelling and error details, by the generated code alone.
 *
 * <p>Arguments: ADDRESS SERVER_NAME IDENTITY_FOLDER MODEL SLOW_MODEL
 */
public final class Client {
    private static final MethodDescriptor<CompleteRequest, CompleteResponse> COMPLETE =
            Methods.of("Complete", CompleteRequest.getDefaultInstance(), CompleteResponse.getDefaultInstance());
    private static final MethodDescriptor<StreamRequest, StreamResponse> STREAM =
            Methods.of("Stream", StreamRequest.getDefaultInstance(), StreamResponse.getDefaultInstance());

    private final ManagedChannel channel;

    private Client(ManagedChannel channel) {
        this.channel = channel;
    }

    public static void main(String[] args) throws Exception {
        ManagedChannel channel = open(args[0], args[1], new File(args[2]));
        try {
            Client client = new Client(channel);
            client.complete(args[3]);
            client.stream(args[3]);
            client.cancel(args[4]);
            client.details();
        } finally {
            channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
    }

    /** Mutual TLS by a certificate of the mesh. */
    private static ManagedChannel open(String address, String serverName, File identity) throws IOException {
        return Grpc.newChannelBuilder(
                        address,
                        TlsChannelCredentials.newBuilder()
                                .keyManager(new File(identity, "chain.pem"), new File(identity, "key.pem"))
                                .trustManager(new File(identity, "bundle.pem"))
                                .build())
                .overrideAuthority(serverName)
                .build();
    }

    private static Envelope envelope(String model) {
        return Envelope.newBuilder()
                .setOperation(Operation.OPERATION_CHAT)
                .setModel(model)
                .setBody("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}")
                .build();
    }

    private static CallOptions options() {
        return CallOptions.DEFAULT.withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    private CompleteResponse ask(String model) {
        CompleteRequest request = CompleteRequest.newBuilder().setEnvelope(envelope(model)).build();
        return ClientCalls.blockingUnaryCall(channel, COMPLETE, options(), request);
    }

    private Iterator<StreamResponse> open(String model) {
        StreamRequest request = StreamRequest.newBuilder().setEnvelope(envelope(model)).build();
        return ClientCalls.blockingServerStreamingCall(channel, STREAM, options(), request);
    }

    private void complete(String model) {
        CompleteResponse answer = ask(model);
        hold("complete", answer.getBody().contains("\"content\":") && !answer.getServed().getBackend().isEmpty());
    }

    private void stream(String model) {
        StringBuilder text = new StringBuilder();
        boolean finished = false;
        for (Iterator<StreamResponse> messages = open(model); messages.hasNext(); ) {
            StreamResponse message = messages.next();
            finished = message.hasFinish();
            message.getChunks().getJsonList().forEach(text::append);
        }
        hold("stream", finished && text.indexOf("content") >= 0);
    }

    private void cancel(String model) throws Exception {
        Context.CancellableContext context = Context.current().withCancellation();
        Status.Code code = context.call(() -> {
            Iterator<StreamResponse> messages = open(model);
            messages.next();
            context.cancel(null);
            try {
                while (messages.hasNext()) {
                    messages.next();
                }
                return Status.Code.OK;
            } catch (StatusRuntimeException ended) {
                return ended.getStatus().getCode();
            }
        });
        hold("cancel", code == Status.Code.CANCELLED);
    }

    private void details() throws InvalidProtocolBufferException {
        try {
            ask("no-such-model");
            hold("error details", false);
        } catch (StatusRuntimeException refused) {
            ErrorInfo info = infoOf(StatusProto.fromThrowable(refused));
            hold(
                    "error details",
                    refused.getStatus().getCode() == Status.Code.NOT_FOUND
                            && info.getDomain().equals("nexus")
                            && info.getReason().equals("MODEL_NOT_FOUND")
                            && info.getMetadataOrDefault("param", "").equals("model"));
        }
    }

    private static ErrorInfo infoOf(com.google.rpc.Status status) throws InvalidProtocolBufferException {
        for (Any detail : status.getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                return detail.unpack(ErrorInfo.class);
            }
        }
        return ErrorInfo.getDefaultInstance();
    }

    private static void hold(String name, boolean held) {
        if (!held) {
            throw new IllegalStateException(name);
        }
        System.out.println("held: " + name);
    }
}
